#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/driver/command_job.h"
#include "proto/task.capnp.h"

/// Commands as they cross to a slave and back.
namespace knee::driver {

/// Bytes that travel beside their task, or, when that is too much, have gone ahead of it as the
/// value `ahead`.
void fill_payload(proto::Payload::Builder out, std::span<const std::byte> bytes,
                  std::uint64_t ahead);

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
