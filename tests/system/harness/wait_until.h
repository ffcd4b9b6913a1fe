#pragma once

#include <chrono>
#include <concepts>
#include <thread>

namespace knee::test {

/// How much slower than usual everything may be.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kTimeSlack = 8;
#else
inline constexpr int kTimeSlack = 1;
#endif

/// Long enough for a loaded machine; a test that waits this long has failed.
inline constexpr std::chrono::seconds kDeadline{30 * kTimeSlack};

/// Looks every other millisecond whether `condition` holds; false when the deadline is over.
template <std::predicate Condition>
[[nodiscard]] bool wait_until(Condition condition,
                              std::chrono::steady_clock::duration deadline = kDeadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// How long `action` takes.
template <std::invocable Action>
std::chrono::steady_clock::duration time_of(Action action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::steady_clock::now() - start;
}

}  // namespace knee::test
