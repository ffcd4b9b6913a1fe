#pragma once
#include <knee/command.h>

#include <cstdint>
#include <string>
#include <vector>

#include "client/driver/schedule_types.h"
#include "common/base/digest.h"

namespace knee::driver {

/// An input file as it travels.
struct InputBlob {
  std::string path;  ///< here
  std::string name;  ///< there
  Digest digest;
  std::uint64_t size = 0;
  bool executable = false;
};

/// What a task that is a command has beside other tasks. Made by the caller's thread, then the RPC
/// thread's, at last the consumer's.
struct CommandJob {
  /// Throws Error::usage if the command cannot be run anywhere, and Error::setup if an input cannot
  /// be read.
  explicit CommandJob(Command command);

  Command command;
  std::string label;              ///< for people
  std::vector<InputBlob> inputs;  ///< as they were at the last attempt
  SlaveId sent_to = kNoSlave;     ///< the slave of the last attempt
  CommandResult result;
};

bool is_command(const detail::TaskState& task);
/// Of a task that is a command.
CommandJob& command_job(detail::TaskState& task);

}  // namespace knee::driver
