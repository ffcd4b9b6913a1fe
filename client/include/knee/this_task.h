#pragma once
#include <stop_token>
#include <string>

#include <knee/detail/export.h>

/// Inside a task, about that task. Any thread of the worker may call. Outside of a task: as said.
namespace knee::this_task {

/// Whether the task should stop: its driver has cancelled it. Costs a memory access; a long loop
/// should look now and then. Outside: false.
KNEE_EXPORT bool cancelled() noexcept;

/// Stop requested as soon as the task is cancelled. The first call in a worker starts a thread.
KNEE_EXPORT std::stop_token stop_token();

/// Name of the slave this process runs on. In a process that is no worker: empty.
KNEE_EXPORT const std::string& slave() noexcept;

/// Number of the slot, from 0; no two tasks of one session run in one slot at once. Where tasks run
/// beside the slots, for which those that hold them wait, there are more numbers. No worker: 0.
KNEE_EXPORT unsigned slot() noexcept;

/// 1 for the first start of the task. Outside: 0.
KNEE_EXPORT unsigned attempt() noexcept;

/// Says how far the task is, from 0 to 1. Cheap enough for an inner loop.
KNEE_EXPORT void progress(double fraction) noexcept;

}  // namespace knee::this_task
