#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "client/driver/schedule_types.h"

namespace knee::driver {

/// When a slave ends that says so as `Description.endsAt`: Unix time in seconds, 0 for not known.
/// What it says is brought onto the clock of the scheduler as of now, so setting the clock later
/// does no harm; that the clocks of both machines agree is assumed.
inline std::optional<Time> end_from_wire(std::int64_t ends_at,
                                         std::chrono::system_clock::time_point wall_clock,
                                         Time now) {
  using std::chrono::hours;
  using std::chrono::seconds;
  if (ends_at == 0) return std::nullopt;
  constexpr seconds kFar = hours(24 * 366 * 10);  // what a peer says must not overflow
  const auto wall = std::chrono::duration_cast<Duration>(wall_clock.time_since_epoch());
  const seconds today = std::chrono::floor<seconds>(wall);
  const seconds end = std::clamp(seconds(ends_at), today - kFar, today + kFar);
  return now + (end - wall);
}

}  // namespace knee::driver
