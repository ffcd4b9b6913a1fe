#include "wait_graph.h"

namespace knee::driver {

std::vector<std::size_t> WaitGraph::add(std::uint64_t call,
                                        std::span<const std::uint64_t> held_up) {
  const std::size_t added = calls_.size();
  calls_.push_back(call);
  for (const std::uint64_t other : held_up)
    if (other != 0) holder_.emplace(other, added);
  std::vector<std::size_t> circle{added};
  // More steps than there are members would go round in one that was closed before.
  while (circle.size() <= calls_.size()) {
    const auto next = holder_.find(calls_[circle.back()]);
    if (next == holder_.end()) return {};
    if (next->second == added) return circle;
    circle.push_back(next->second);
  }
  return {};
}

}  // namespace knee::driver
