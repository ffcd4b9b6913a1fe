#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "client/driver/bag_state.h"

namespace knee::driver {

/// How far a bag is.
struct Standing {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t running = 0;
  std::uint64_t waiting = 0;
  std::size_t slaves = 0;
  std::optional<std::chrono::nanoseconds> remaining;  ///< none: nobody knows
};

/// "pi: 10 done, 3 failed, 4 running, 986 waiting, 2 slaves, 90 s left".
std::string progress_line(const std::string& bag, const Standing& standing);

/// The progress line of one wait: drawn over itself on a terminal, silent elsewhere unless asked
/// for. Belongs to the waiting thread.
class Progress {
 public:
  /// `wanted`: ClusterOptions::progress.
  Progress(std::optional<bool> wanted, const detail::BagState& bag);

  /// How often `show` should be called.
  std::chrono::milliseconds interval() const;

  void show(std::uint64_t running, std::uint64_t waiting, std::size_t slaves,
            std::optional<std::chrono::nanoseconds> remaining);
  /// Wipes the line.
  void finish();

 private:
  const detail::BagState& bag_;
  bool terminal_;
  bool wanted_;
  bool drawn_ = false;
};

/// "3 s", "4 min", "2.1 h".
std::string short_duration(std::chrono::nanoseconds duration);

}  // namespace knee::driver
