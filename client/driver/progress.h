#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/driver/bag_state.h"
#include "client/driver/console.h"

namespace knee::driver {

/// How far a bag is.
struct Standing {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t running = 0;
  std::uint64_t waiting = 0;
  std::size_t slaves = 0;
  std::vector<float> fractions{};  ///< how far running tasks say they are, 0 to 1
  std::optional<double> rate{};    ///< tasks that end in a second
  std::optional<std::chrono::nanoseconds> remaining;  ///< none: nobody knows
};

/// "pi: 10 done, 3 failed, 4 running (at 42 %), 986 waiting, 2 slaves, 12.5 tasks/s, 90 s left".
std::string progress_line(const std::string& bag, const Standing& standing);

/// The progress line of one wait or loop: drawn over itself on a terminal, silent elsewhere unless
/// asked for. Belongs to the waiting thread.
class Progress {
 public:
  /// `wanted`: ClusterOptions::progress.
  Progress(std::optional<bool> wanted, const detail::BagState& bag, Console& console);

  /// Whether anything is ever shown.
  bool is_wanted() const { return wanted_; }
  /// How often `show` should be called.
  std::chrono::milliseconds interval() const;

  /// `standing`: all but what the bag itself knows, and the rate.
  void show(Standing standing, std::chrono::steady_clock::time_point now);
  /// Wipes the line.
  void finish();

 private:
  const detail::BagState& bag_;
  Console& console_;
  bool terminal_;
  bool wanted_;
  bool drawn_ = false;
  std::uint64_t done_before_ = 0;  ///< at the last look
  std::chrono::steady_clock::time_point looked_at_{};
  std::optional<double> rate_;
};

/// "3 s", "4 min", "2.1 h".
std::string short_duration(std::chrono::nanoseconds duration);

}  // namespace knee::driver
