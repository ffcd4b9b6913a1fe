#pragma once
#include <chrono>

namespace knee::channel {

/// How long to look for work before sleeping. Being woken on another core costs 25 to 30 us on a
/// small virtual machine, and between a call's end and the next one there is hardly more; but a
/// worker that waits for long must not burn a core. So: if the last wait was short, the next
/// probably is. Pure; not thread-safe.
class SpinPolicy {
 public:
  using Duration = std::chrono::nanoseconds;
  static constexpr Duration kLongest = std::chrono::microseconds(100);
  /// A wait with sleep and waking that would have been a short one.
  static constexpr Duration kShort = 2 * kLongest;

  /// `cores`: that this process may use. On one it is always better to make room.
  explicit SpinPolicy(int cores) : alone_(cores < 2) {}

  Duration limit() const { return was_short_ && !alone_ ? kLongest : Duration(0); }
  /// How long the last wait took, with spinning and sleeping.
  void waited(Duration time) { was_short_ = time <= kShort; }

 private:
  bool alone_;
  bool was_short_ = false;
};

}  // namespace knee::channel
