#include "call_chain.h"

#include <atomic>
#include <random>
#include <utility>

namespace knee::detail {
namespace {

thread_local std::uint64_t chain_of_thread = 0;

}  // namespace

std::uint64_t new_number() {
  static std::atomic<std::uint64_t> last = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  const auto number = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return number != 0 ? number : new_number();
}

bool was_sent_before(const CallIdentity& one, const CallIdentity& other) noexcept {
  // Each process begins somewhere else; two that are so near by chance would be a wonder.
  constexpr std::uint64_t kOfOneProcess = std::uint64_t{1} << 40;
  if (one.number == 0 || other.number == 0) return false;
  const std::uint64_t ahead = other.number - one.number;
  return ahead != 0 && ahead < kOfOneProcess;
}

std::uint64_t current_chain() noexcept {
  return chain_of_thread;
}

InChain::InChain(std::uint64_t chain) : before_(std::exchange(chain_of_thread, chain)) {}

InChain::~InChain() {
  chain_of_thread = before_;
}

WaitFor& how_servers_wait() noexcept {
  static WaitFor wait = nullptr;
  return wait;
}

std::uint64_t chain_here() {
  const auto chain = current_chain();
  return chain != 0 ? chain : new_number();
}

}  // namespace knee::detail
