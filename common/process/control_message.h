#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "common/process/descriptor.h"
#include "common/process/spawn_plan.h"

namespace knee::process {

/// What a slave sends a keeper, on a SOCK_SEQPACKET socket pair: first a plan, then KillMessages,
/// as raw structs, for both ends are the same executable. The other way go encoded News.
struct KillMessage {
  /// SIGKILL: the whole tree. Any other: to the worker's process group.
  std::int32_t signal = 0;
};

/// A plan and the open descriptors it refers to.
struct ReceivedPlan {
  SpawnPlan plan;
  /// The process that sent it.
  pid_t slave = 0;
  std::vector<Descriptor> descriptors;
};

/// Puts a plan, of any length, and its descriptors into the socket. Does not block. Throws
/// std::system_error.
void send_plan(int socket, const SpawnPlan& plan);

/// Waits for a plan. None if the other end was closed before one was sent. Throws
/// std::system_error if `socket` is no control socket, or the descriptors do not fit under this
/// process's limit of open files.
std::optional<ReceivedPlan> receive_plan(int socket);

}  // namespace knee::process
