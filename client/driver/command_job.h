#pragma once
#include <knee/command.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "client/driver/input_source.h"
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
/// loop's, at last the consumer's.
struct CommandJob {
  /// Throws Error::usage if the command cannot be run anywhere, and Error::setup if an input cannot
  /// be read.
  explicit CommandJob(Command command);
  CommandJob(const CommandJob&) = delete;
  ~CommandJob();

  /// The command takes no more live input.
  void end_input();

  Command command;                          ///< without its live input
  std::shared_ptr<InputSource> live_input;  ///< null: none
  std::string label;                        ///< for people
  std::vector<InputBlob> inputs;            ///< as they were at the last attempt
  std::atomic<bool> started = false;        ///< by the slave `runs_on`; any thread may ask
  SlaveId runs_on = kNoSlave;               ///< the slave that has reported it as started
  std::uint64_t session = 0;                ///< the link's session in which it did
  std::vector<int> signals;                 ///< to be sent when it has started
  CommandResult result;

 private:
  void take_live_input();
};

bool is_command(const detail::TaskState& task);
/// Of a task that is a command.
CommandJob& command_job(detail::TaskState& task);
/// What a task brings as its value: its arguments, or a command's input. Valid until it has ended.
std::span<const std::byte> payload_of(detail::TaskState& task);
/// Lets writers of a command's live input go; nothing happens to other tasks.
void end_live_input(detail::TaskState& task);

}  // namespace knee::driver
