#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/system/harness/child_process.h"
#include "tests/system/harness/slave_process.h"
#include "tests/system/harness/temporary_folder.h"

namespace knee::test {

/// How a driver is to be run.
struct DriverPlan {
  std::string driver;                          ///< a path, from the drivers' build folder
  std::vector<std::string> words{};            ///< its part, and what that takes
  std::vector<std::string> slaves{};           ///< addresses; none: a local slave
  unsigned slots = 2;                          ///< of the local slave
  std::vector<std::string> around{};           ///< a command that runs it: {"valgrind"}
  std::vector<std::string> library_folders{};  ///< LD_LIBRARY_PATH
};

/// A real driver of drivers/, with a cache folder of its own.
class DriverRun {
 public:
  explicit DriverRun(const DriverPlan& plan);

  ChildProcess& process() { return process_; }
  /// Its stdout when it has ended with 0; else, after a failed check, what it said.
  std::string printed(std::chrono::seconds deadline = std::chrono::seconds(100));
  /// The same for a driver that is to end with 1.
  std::string failure();

 private:
  std::string ended_with(int code, std::chrono::seconds deadline);
  TemporaryFolder folder_;
  ChildProcess process_;
};

inline std::string printed_by(const DriverPlan& plan) {
  return DriverRun(plan).printed();
}

/// A file of the drivers' build folder; an absolute path stays as it is.
std::string built(const std::string& name);

/// The folders of libknee.so and of the drivers' own library.
std::vector<std::string> library_folders();

/// Says that a test cannot be done here, and why.
void skip(const std::string& why);

/// Whether a program is in PATH.
bool is_installed(const std::string& program);

/// What the part "twins" prints.
inline constexpr const char* kTwins = "a1 al2 4 5 | b1 bl2 4 5\n";

}  // namespace knee::test
