#pragma once

#include "client/driver/scheduler.h"

namespace knee::driver {

/// What is known of an attempt that has just ended.
struct Scheduler::Attempt {
  bool started;
  float estimate;
};

/// One call of `take`.
struct Scheduler::Intake {
  Time now;
  std::vector<TaskId>& out;
  std::uint64_t ahead_left = 0;  // tasks it may still take beyond its slots: its share of the queue
  std::uint64_t kept_back = 0;   // of these, only for slots that have none ahead
  bool full = false;             // stop: credit, bytes or share used up
};

inline Scheduler::Slave* Scheduler::find(SlaveId id) {
  const std::uint32_t index = slave_index(id);
  if (index >= slaves_.size()) return nullptr;
  Slave& slave = slaves_[index];
  return slave.known && slave.id == id ? &slave : nullptr;
}

inline const Scheduler::Slave* Scheduler::find(SlaveId id) const {
  return const_cast<Scheduler*>(this)->find(id);
}

inline double to_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

inline Duration to_duration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

}  // namespace knee::driver
