#pragma once
#include <cstdint>

namespace knee::detail {

/// The chain of the call that this thread carries out (proto::Call.chain); 0: none. What it calls
/// meanwhile belongs to the same chain.
std::uint64_t& current_chain() noexcept;

/// A chain that has not been before, here or, most likely, elsewhere.
std::uint64_t new_chain();

}  // namespace knee::detail
