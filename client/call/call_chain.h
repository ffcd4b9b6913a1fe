#pragma once
#include <knee/detail/task_state.h>

#include <cstdint>

namespace knee::detail {

/// The chain of the call that this thread carries out (proto::Call.chain); 0: none. What it calls
/// meanwhile belongs to the same chain.
std::uint64_t& current_chain() noexcept;

/// A chain that has not been before, here or, most likely, elsewhere.
std::uint64_t new_chain();

/// The chain of what this thread calls now: that it belongs to, or a new one.
std::uint64_t chain_here();

/// How a thread waits for a call in a process that serves objects and has no driver; null
/// elsewhere.
using WaitFor = void (*)(TaskState&);
WaitFor& how_servers_wait() noexcept;

}  // namespace knee::detail
