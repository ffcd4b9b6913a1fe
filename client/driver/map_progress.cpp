#include <knee/detail/map.h>

#include "client/driver/bag_state.h"
#include "client/driver/driver.h"
#include "client/driver/progress.h"

namespace knee::detail {

using Clock = std::chrono::steady_clock;

struct MapProgress::Line {
  explicit Line(const CallSite& site)
      : driver(*site.driver), bag(*site.bag), progress(driver.progress_of(bag)) {}
  ~Line() { progress.finish(); }

  driver::Driver& driver;
  const BagState& bag;
  driver::Progress progress;
  Clock::time_point due = Clock::now() + progress.interval();
};

MapProgress::MapProgress(const CallSite& site) : line_(std::make_unique<Line>(site)) {
  if (!line_->progress.is_wanted()) line_.reset();
}
MapProgress::MapProgress(MapProgress&&) noexcept = default;
MapProgress& MapProgress::operator=(MapProgress&&) noexcept = default;
MapProgress::~MapProgress() = default;

void MapProgress::look() {
  if (!line_) return;
  const auto now = Clock::now();
  if (now < line_->due) return;
  line_->due = now + line_->progress.interval();
  auto standing = line_->driver.standing();
  standing.remaining.reset();  // what the range still has is not known
  line_->progress.show(std::move(standing), now);
}

Clock::time_point MapProgress::due() const {
  return line_ ? line_->due : Clock::now() + std::chrono::hours(1);
}

}  // namespace knee::detail
