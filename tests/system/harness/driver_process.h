#pragma once

#include <string>
#include <vector>

#include "tests/system/harness/child_process.h"
#include "tests/system/harness/slave_process.h"

namespace knee::test {

/// Another process of this executable that is a driver, to be killed, stopped or read. Its part is
/// one of tests/system/driver_parts.h. Its slaves come by the environment, as a user would give
/// them.
class DriverProcess : public ChildProcess {
 public:
  struct Setup {
    std::string part;
    std::vector<std::string> arguments{};
    std::vector<std::string> slaves{};  ///< addresses
    std::string user{};                 ///< $USER: whose share of the slots it uses
    std::map<std::string, std::string> environment{};
    std::string terminal{};  ///< where its stderr goes; empty: into a file, as its stdout
  };
  explicit DriverProcess(const Setup& setup) : ChildProcess(plan_for(setup)) {}

 private:
  static Plan plan_for(const Setup& setup);
};

/// This executable.
std::string own_path();

}  // namespace knee::test
