#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/system/harness/slave_process.h"

namespace knee::test {

/// Remembers at its making which processes and descriptors there are, and says later what has been
/// added: in this process and in slaves that idle at both times. Needs that this process is a
/// subreaper, so that whatever outlives its parent becomes a child of this one.
class LeakCheck {
 public:
  explicit LeakCheck(std::vector<const SlaveProcess*> slaves = {});

  /// What was left behind, in words; empty: nothing. Waits a little for what is still ending.
  std::string found() const;

 private:
  struct Before {
    const SlaveProcess* slave;
    pid_t pid;
    std::size_t descriptors;
  };
  std::string left_now() const;

  std::vector<Before> slaves_;
  std::vector<pid_t> family_;
  std::size_t descriptors_;
};

}  // namespace knee::test
