#include "wait_graph.h"

#include <algorithm>

namespace knee::driver {

std::vector<std::size_t> WaitGraph::add(std::uint64_t call,
                                        std::span<const std::uint64_t> held_up) {
  const std::size_t added = calls_.size();
  calls_.push_back(call);
  for (const std::uint64_t other : held_up)
    if (other != 0) holder_.emplace(other, added);
  std::vector<std::size_t> circle{added};
  for (;;) {
    const auto next = holder_.find(calls_[circle.back()]);
    if (next == holder_.end()) return {};
    if (next->second == added) return circle;
    // Into one that was closed before.
    if (std::find(circle.begin(), circle.end(), next->second) != circle.end()) return {};
    circle.push_back(next->second);
  }
}

}  // namespace knee::driver
