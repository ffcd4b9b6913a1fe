#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/system/harness/temporary_folder.h"
#include "tests/system/harness/wait_until.h"

namespace knee::test {

/// A program that a test runs; its output goes to files. Destruction kills it. One thread.
class ChildProcess {
 public:
  struct Plan {
    std::vector<std::string> arguments;              ///< argv; argv[0] is a path or in PATH
    std::map<std::string, std::string> environment;  ///< over the test's own
  };

  explicit ChildProcess(const Plan& plan);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Of the process itself; the number stays reserved until `wait` has seen its end.
  pid_t pid() const { return pid_; }
  bool is_alive() const;

  void signal(int number) const;
  /// SIGKILL, and waits for the end.
  void kill();
  /// SIGSTOP, and waits until it has stopped.
  void stop() const;
  void resume() const;

  /// How it ended: the exit code, or -N for signal N; or kLivesOn.
  static constexpr int kLivesOn = 1000;
  int wait(std::chrono::steady_clock::duration deadline = kDeadline);

  /// What it has written so far.
  std::string out() const;
  std::string err() const;
  /// Until its stderr contains `text`; throws with the whole of it if it never does.
  void wait_for_err(const std::string& text) const;
  void wait_for_out(const std::string& text) const;

 private:
  TemporaryFolder folder_;
  pid_t pid_ = 0;
  std::optional<int> ended_;
};

/// The whole of a file; empty if there is none.
std::string content_of(const std::string& path);

/// How often `part` occurs in `text`.
std::size_t count_of(const std::string& text, const std::string& part);

}  // namespace knee::test
