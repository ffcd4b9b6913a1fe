#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace knee::driver {

/// How long tasks of one kind run, learnt from those that returned. Seconds.
/// The first results weigh alike, later the newest few hundred count.
class DurationEstimate {
 public:
  /// A task costs its slave about this much even if it does nothing.
  static constexpr double kLeast = 1e-6;

  void observe(double seconds) {
    ++results_;
    const double weight = results_ < kMemory ? 1.0 / static_cast<double>(results_) : 1.0 / kMemory;
    const double surprise = std::max(seconds, kLeast) - mean_;
    mean_ += weight * surprise;
    variance_ = (1 - weight) * (variance_ + weight * surprise * surprise);
  }

  bool known() const { return results_ > 0; }
  std::uint64_t results() const { return results_; }
  double mean() const { return mean_; }
  double deviation() const { return std::sqrt(variance_); }

  /// A task that runs longer than this lags. Few results say little about the spread.
  double straggler_after() const {
    const double doubled = (results_ < 5 ? 3 : 2) * mean_;
    return std::max({doubled, mean_ + 3 * deviation(), kShortestStraggler});
  }

 private:
  static constexpr int kMemory = 256;
  static constexpr double kShortestStraggler = 0.05;

  std::uint64_t results_ = 0;
  double mean_ = 0;
  double variance_ = 0;
};

}  // namespace knee::driver
