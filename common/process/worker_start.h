#pragma once

#include <sys/types.h>

#include <optional>

#include "common/process/descriptor.h"
#include "common/process/news.h"
#include "common/process/spawn_plan.h"

namespace knee::process {

/// A process that was forked and is on its way to execve.
struct WorkerStart {
  pid_t worker = 0;
  /// Readable once execve has succeeded or failed; then call `outcome_of`.
  Descriptor outcome;
};

/// Forks a child that carries out the plan. The child dies (SIGKILL) when the caller does. To be
/// called by a process with one thread; the plan's descriptors stay open in it. Throws
/// std::system_error if it cannot fork.
WorkerStart start_worker(const SpawnPlan& plan);

/// None if execve succeeded. Reads to the end, which comes at once if `outcome` is readable.
std::optional<StartFailed> outcome_of(const WorkerStart& start);

}  // namespace knee::process
