#pragma once
#include <chrono>
#include <cstdint>
#include <vector>

namespace knee::slave {

/// How long the tasks of each function take, as far as has been seen: an exponentially weighted
/// mean. Pure; decides only how many tasks a worker holds ahead, so a bad guess costs a round trip.
class RunTimeEstimates {
 public:
  void add(std::uint32_t function, std::chrono::nanoseconds run_time) {
    if (function >= kMost) return;
    if (function >= means_.size()) means_.resize(function + 1, -1);
    double& mean = means_[function];
    const auto sample = static_cast<double>(run_time.count());
    mean = mean < 0 ? sample : mean + (sample - mean) / 8;
  }

  /// The mean plus what a task costs beside its own code. Unknown functions count as long ones.
  std::chrono::nanoseconds of(std::uint32_t function) const {
    if (function >= means_.size() || means_[function] < 0) return kUnknown;
    return std::chrono::nanoseconds(static_cast<std::int64_t>(means_[function])) + kOverhead;
  }

 private:
  static constexpr std::chrono::nanoseconds kUnknown = std::chrono::milliseconds(1);
  static constexpr std::chrono::nanoseconds kOverhead{500};
  static constexpr std::uint32_t kMost = 1 << 16;  ///< functions; those beyond count as unknown
  std::vector<double> means_;
};

}  // namespace knee::slave
