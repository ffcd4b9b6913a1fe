#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/system/harness/slave_process.h"

namespace knee::test {

/// Remembers at its making which processes and descriptors there are, and says later what has been
/// added: in this process and in slaves that idle at both times. Descriptors are counted by kind,
/// so that a leaked socket is not made up for by a file that was closed. Needs that this process is
/// a subreaper, so that whatever outlives its parent becomes a child of this one.
class LeakCheck {
 public:
  explicit LeakCheck(std::vector<const SlaveProcess*> slaves = {});

  /// What was left behind, in words; empty: nothing. Waits a little for what is still ending.
  std::string found() const;

  /// Children of slaves that live on which have ended and were not waited for, in words; empty:
  /// none. A slave looks for them every 5 s only (Keepers::reap), which is waited for: one test
  /// asks, not each.
  std::string found_unreaped() const;

 private:
  using Kinds = std::map<std::string, std::size_t>;  ///< how many descriptors of each kind
  struct Before {
    const SlaveProcess* slave;
    pid_t pid;
    Kinds descriptors;
  };
  static Kinds kinds_of(const std::vector<std::string>& descriptors);
  /// Of which kinds there are more than before, then all there are; empty: of none.
  static std::string added(const Kinds& before, const std::vector<std::string>& now);
  std::string left_now() const;
  std::string unreaped_now() const;

  std::vector<Before> slaves_;
  std::vector<pid_t> family_;
  Kinds descriptors_;
};

}  // namespace knee::test
