#pragma once
#include <string>
#include <vector>

#include <knee/options.h>

namespace knee::cli {

/// One step on the way to a slave, and how it went. A plain value.
struct CheckupStep {
  std::string name;
  bool passed = false;
  std::string detail;  ///< what was found, or why it failed
  std::string advice;  ///< what to do; only of a step that failed
};

/// Goes the way to one slave step by step, up to the first that fails: address, name, connection,
/// preface and hello, version, a command, a task. `options`: those of the driver, whose slaves are
/// not looked at. Blocks, at most about two minutes.
std::vector<CheckupStep> check_slave(const std::string& address, ClusterOptions options);

}  // namespace knee::cli
