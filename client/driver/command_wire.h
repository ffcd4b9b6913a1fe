#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "client/driver/command_job.h"
#include "proto/task.capnp.h"

/// Commands as they cross to a slave and back.
namespace knee::driver {

/// Whether its standard input is moved ahead of the task, as the value with the task's id.
bool has_long_input(const CommandJob& job);

void fill_command(proto::Command::Builder out, const CommandJob& job, std::uint64_t task);

/// A part of a result that is still at the slave.
struct LargePart {
  std::uint64_t value;
  std::uint64_t size;
  std::string* into;  ///< of the result
};
/// Takes over a result but for what is large.
std::vector<LargePart> take_result(proto::CommandResult::Reader from, CommandResult& result);

/// The values an outcome holds at the slave.
std::vector<std::uint64_t> values_of(proto::Outcome::Reader outcome);

}  // namespace knee::driver
