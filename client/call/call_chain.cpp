#include "call_chain.h"

#include <atomic>
#include <random>

namespace knee::detail {

std::uint64_t& current_chain() noexcept {
  thread_local std::uint64_t chain = 0;
  return chain;
}

WaitFor& how_servers_wait() noexcept {
  static WaitFor wait = nullptr;
  return wait;
}

std::uint64_t new_chain() {
  static std::atomic<std::uint64_t> last = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  const auto chain = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return chain != 0 ? chain : new_chain();
}

std::uint64_t chain_here() {
  const auto chain = current_chain();
  return chain != 0 ? chain : new_chain();
}

}  // namespace knee::detail
