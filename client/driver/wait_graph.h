#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace knee::driver {

/// Who of those that carry out calls one at a time waits for whom, and finds circles of them: each
/// waits for a call that the next one has, and neither begins nor ends before its own wait is over.
/// Calls have numbers of their own that never come again (proto::Call.number).
///
/// Members are asked at different times, so a circle is only a suspicion: a wait may have ended
/// without its call. If all of them say the same once more, asked after that, they have waited for
/// each other at one moment. Pure.
class WaitGraph {
 public:
  /// Members by the order in which they were added. The next waits for `call`, and holds up calls
  /// of these numbers; 0 is no number. Returns the circle that it closes, beginning with it; empty:
  /// none.
  std::vector<std::size_t> add(std::uint64_t call, std::span<const std::uint64_t> held_up);

  /// What a member waits for.
  std::uint64_t call_of(std::size_t member) const { return calls_[member]; }

 private:
  std::vector<std::uint64_t> calls_;
  std::unordered_map<std::uint64_t, std::size_t> holder_;  ///< who holds up a call
};

}  // namespace knee::driver
