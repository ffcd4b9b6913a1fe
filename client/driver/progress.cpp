#include "progress.h"

#include <unistd.h>

#include <cstdio>

namespace knee::driver {

using namespace std::chrono_literals;

Progress::Progress(std::optional<bool> wanted, const detail::BagState& bag)
    : bag_(bag), terminal_(::isatty(STDERR_FILENO) != 0), wanted_(wanted.value_or(terminal_)) {}

std::chrono::milliseconds Progress::interval() const {
  if (!wanted_) return 1h;
  return terminal_ ? 200ms : 10s;  // a log file wants no flood
}

void Progress::show(std::uint64_t running, std::uint64_t waiting, std::size_t slaves,
                    std::optional<std::chrono::nanoseconds> remaining) {
  if (!wanted_) return;
  const auto line = progress_line(bag_.options.name, {bag_.done.load(std::memory_order_relaxed),
                                                      bag_.failed.load(std::memory_order_relaxed),
                                                      running, waiting, slaves, remaining});
  if (terminal_)
    std::fprintf(stderr, "\r\033[K%s", line.c_str());
  else
    std::fprintf(stderr, "%s\n", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::finish() {
  if (drawn_ && terminal_) std::fprintf(stderr, "\r\033[K");
}

std::string progress_line(const std::string& bag, const Standing& standing) {
  std::string line = bag.empty() ? "knee" : bag;
  line += ": " + std::to_string(standing.done) + " done, ";
  if (standing.failed != 0) line += std::to_string(standing.failed) + " failed, ";
  line += std::to_string(standing.running) + " running, " + std::to_string(standing.waiting) +
          " waiting, " + std::to_string(standing.slaves) +
          (standing.slaves == 1 ? " slave" : " slaves");
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
