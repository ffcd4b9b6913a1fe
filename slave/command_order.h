#pragma once
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "proto/task.capnp.h"

namespace knee::slave {

/// What a driver wants run: a proto::Command out of its message, checked. A plain value.
struct CommandOrder {
  struct Input {
    std::string name;  ///< relative, below the scratch folder
    Digest digest;
    bool executable = false;
  };

  std::vector<std::string> arguments;    ///< never empty
  std::vector<std::string> environment;  ///< the slave's own with the command's over it
  std::string folder;                    ///< empty: the scratch folder
  std::vector<Input> inputs;
  std::vector<std::string> outputs;
  bool live_input = false;  ///< standard input comes while it runs
  bool keep_output = false;
  proto::Command::Live live = proto::Command::Live::LINES;
};

/// Throws std::runtime_error that says what cannot be carried out: no argv, a path that leads out
/// of the working folder ...
CommandOrder read_order(proto::Command::Reader command);

}  // namespace knee::slave
