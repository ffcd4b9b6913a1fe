#include "progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace knee::driver {

using namespace std::chrono_literals;

namespace {

/// Weight of the newest rate.
constexpr double kNewest = 0.3;
constexpr std::size_t kMostFractions = 4;

std::string three_digits(double number) {
  char text[32];
  std::snprintf(text, sizeof text, number < 100 ? "%.3g" : "%.0f", number);
  return text;
}

std::string percents(const std::vector<float>& fractions) {
  std::string text;
  for (std::size_t i = 0; i < std::min(fractions.size(), kMostFractions); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(static_cast<int>(100 * fractions[i])) + " %";
  return fractions.size() > kMostFractions ? text + ", ..." : text;
}

}  // namespace

Progress::Progress(std::optional<bool> wanted, const detail::BagState& bag, Console& console)
    : bag_(bag),
      console_(console),
      terminal_(::isatty(STDERR_FILENO) != 0),
      wanted_(wanted.value_or(terminal_)) {}

std::chrono::milliseconds Progress::interval() const {
  if (!wanted_) return 1h;
  return terminal_ ? 200ms : 10s;  // a log file wants no flood
}

void Progress::show(Standing standing, std::chrono::steady_clock::time_point now) {
  if (!wanted_) return;
  standing.done = bag_.done.load(std::memory_order_relaxed);
  standing.failed = bag_.failed.load(std::memory_order_relaxed);
  if (looked_at_ != decltype(looked_at_){}) {
    const double seconds = std::chrono::duration<double>(now - looked_at_).count();
    const double latest = static_cast<double>(standing.done - done_before_) / seconds;
    rate_ = rate_ ? *rate_ + (latest - *rate_) * kNewest : latest;
  }
  looked_at_ = now;
  done_before_ = standing.done;
  standing.rate = rate_;
  auto line = progress_line(bag_.options.name, standing);
  if (terminal_)
    console_.status(std::move(line));
  else
    console_.print(true, "", line + "\n");
  drawn_ = true;
}

void Progress::finish() {
  if (drawn_ && terminal_) console_.status("");
}

std::string progress_line(const std::string& bag, const Standing& standing) {
  std::string line = bag.empty() ? "knee" : bag;
  line += ": " + std::to_string(standing.done) + " done, ";
  if (standing.failed != 0) line += std::to_string(standing.failed) + " failed, ";
  line += std::to_string(standing.running) + " running";
  if (!standing.fractions.empty()) line += " (at " + percents(standing.fractions) + ")";
  line += ", " + std::to_string(standing.waiting) + " waiting, " + std::to_string(standing.slaves) +
          (standing.slaves == 1 ? " slave" : " slaves");
  if (standing.rate) line += ", " + three_digits(*standing.rate) + " tasks/s";
  if (standing.remaining) line += ", " + short_duration(*standing.remaining) + " left";
  return line;
}

std::string short_duration(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  char text[32];
  if (seconds < 100)
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  else if (seconds < 6000)
    std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
  else
    std::snprintf(text, sizeof text, "%.1f h", seconds / 3600);
  return text;
}

}  // namespace knee::driver
