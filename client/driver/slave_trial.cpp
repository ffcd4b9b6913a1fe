// Scheduler: what crashes say about slaves, and what is done about it.

#include <algorithm>

#include "client/driver/scheduler_internal.h"

namespace knee::driver {

/// Blames or praises the slave for the end of an attempt. Runs before the task is settled.
void Scheduler::judge_end(Slave& slave, const TaskRecord& task, AttemptEnd end, Time now) {
  const TaskHistory* history = tasks_.find_history(task);
  const auto for_crashes_elsewhere = [&](auto&& tell) {
    for (int i = 0; history && i < TaskHistory::kRemembered; ++i) {
      if (!history->crashed_there[i] || history->failed_on[i] == slave.id) continue;
      Slave* other = find(history->failed_on[i]);
      if (!other) continue;
      tell(other->health);
      judge(*other, now);
    }
  };
  switch (end) {
    case AttemptEnd::value:
    case AttemptEnd::exception:
      slave.health.succeeded();
      for_crashes_elsewhere([](SlaveHealth& health) { health.convicted(); });
      break;
    case AttemptEnd::crashed:
    case AttemptEnd::out_of_memory: {
      bool crashes_everywhere = false;
      for_crashes_elsewhere([&](SlaveHealth& health) {
        health.forgiven();
        crashes_everywhere = true;
      });
      if (!crashes_everywhere) slave.health.crashed();
      break;
    }
    case AttemptEnd::lost_uncharged:
      slave.health.lost_worker(now);
      break;
    default:
      return;
  }
  judge(slave, now);
}

void Scheduler::judge(Slave& slave, Time now) {
  const bool suspect = slave.health.is_suspect();
  suspects_ = suspects_ + suspect - slave.counted_suspect;
  slave.counted_suspect = suspect;
  const bool others_are_fine = suspects_ <= std::max(1u, usable_ / 3);
  if (slave.slots > 0 && slave.health.is_black_hole(others_are_fine)) suspend(slave, now);
}

/// The last slave that is left is suspended only in exchange for one that is less bad.
void Scheduler::suspend(Slave& slave, Time now) {
  Slave* least_bad = nullptr;
  if (usable_ == 1) {
    least_bad = least_bad_suspended();
    if (!least_bad || least_bad->health.badness() >= slave.health.badness() + 1000) return;
  }
  const Duration back_off = slave.health.suspend(now);
  suspended_.push_back(slave_index(slave.id));
  events_.push_back({SlaveEvent::What::suspended, slave.id, back_off});
  refile(slave);
  if (least_bad) resume(*least_bad);
}

void Scheduler::resume(Slave& slave) {
  slave.health.pardon();
  suspects_ -= slave.counted_suspect;
  slave.counted_suspect = false;
  std::erase(suspended_, slave_index(slave.id));
  events_.push_back({SlaveEvent::What::resumed, slave.id});
  slave.resting = slave.dry = false;
  refile(slave);
}

void Scheduler::end_suspensions(Time now) {
  for (std::size_t i = 0; i < suspended_.size();) {
    Slave& slave = slaves_[suspended_[i]];
    if (slave.health.suspended_until() > now) {
      ++i;
      continue;
    }
    suspended_[i] = suspended_.back();
    suspended_.pop_back();
    slave.health.start_trial();
    suspects_ -= slave.counted_suspect;
    slave.counted_suspect = false;
    events_.push_back({SlaveEvent::What::resumed, slave.id});
    slave.resting = slave.dry = false;
    refile(slave);
  }
}

Scheduler::Slave* Scheduler::least_bad_suspended() {
  Slave* least_bad = nullptr;
  for (const std::uint32_t index : suspended_) {
    Slave& slave = slaves_[index];
    if (slave.slots == 0) continue;
    if (!least_bad || slave.health.badness() < least_bad->health.badness()) least_bad = &slave;
  }
  return least_bad;
}

void Scheduler::keep_someone_going() {
  if (usable_ > 0) return;
  if (Slave* least_bad = least_bad_suspended()) resume(*least_bad);
}

}  // namespace knee::driver
