// Scheduler: the end of a bag, when slots are idle and nothing is queued.

#include <algorithm>
#include <cmath>

#include "client/driver/scheduler_internal.h"

namespace knee::driver {
namespace {

using namespace std::chrono_literals;

// Looking at every slave and at every task sent is kept under a few percent of the time.
constexpr Duration kLookAtSlave = 2us;
constexpr Duration kLookAtTask = 500ns;
// What starts sooner than this is not worth a message.
constexpr double kWorthMoving = 1e-3;
// A slave that had nothing to give is left alone for a while.
constexpr Duration kLeaveAlone = 50ms;
// A slave that has not answered for this long may hang: what it holds counts as running.
constexpr Duration kNoAnswer = 1s;

}  // namespace

void Scheduler::take_backs(Time now, std::vector<TakeBack>& out) {
  if (!suspended_.empty()) take_back_from_suspended(now, out);
  if (at_the_tail() && excess_ > 0 && now >= next_take_back_) take_back_for_idle(now, out);
}

void Scheduler::take_back_done(SlaveId id, std::uint32_t given_back, Time now) {
  Slave* slave = find(id);
  if (!slave || !slave->take_back_pending) return;
  slave->take_back_pending = false;
  pending_demand_ -= slave->take_back_demand;
  slave->next_take_back = now + (given_back == 0 ? kLeaveAlone : Duration::zero());
}

void Scheduler::take_back_from_suspended(Time now, std::vector<TakeBack>& out) {
  for (const std::uint32_t index : suspended_) {
    Slave& slave = slaves_[index];
    if (slave.take_back_pending || now < slave.next_take_back) continue;
    if (slave.held_tasks > slave.started) {
      ask_back(slave, slave.held_tasks - slave.started, 0, now, out);
    }
  }
}

/// Asks the slaves whose last task would wait longest. A slave keeps its part: with as many idle
/// slots elsewhere as it has itself, it gives half.
void Scheduler::take_back_for_idle(Time now, std::vector<TakeBack>& out) {
  struct Candidate {
    double wait;
    std::uint32_t slave;
  };
  std::vector<Candidate> candidates;
  for (const Slave& slave : slaves_) {
    if (slave.counted_excess == 0 || slave.take_back_pending || now < slave.next_take_back)
      continue;
    const double wait = wait_of_last(slave, now);
    if (wait > 2 * static_cast<double>(slave.turnaround) + kWorthMoving) {
      candidates.push_back({wait, slave_index(slave.id)});
    }
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.wait > b.wait; });

  const auto slaves = static_cast<std::int64_t>(slaves_.size());
  next_take_back_ = now + std::clamp<Duration>(kLookAtSlave * slaves, 1ms, 50ms);
  if (candidates.empty()) next_take_back_ = now + kLeaveAlone;

  double demand = static_cast<double>(idle_ready_) - pending_demand_;
  for (const Candidate& candidate : candidates) {
    if (demand < 0.5) return;
    Slave& slave = slaves_[candidate.slave];
    const double tasks_per_core = static_cast<double>(slave.held_tasks) / slave.held_cores;
    const double excess = std::ceil(slave.counted_excess * tasks_per_core);
    const double fair = std::ceil(excess * demand / (demand + slave.slots));
    const double each = std::max(slave.work / slave.held_tasks, candidate.wait / excess);
    // A long task fills an idle slot; of short ones it takes as many as would wait half as long.
    const double per_slot = std::max(each, candidate.wait / 2);
    const double wanted = std::ceil(demand * per_slot / each);
    const double count = std::clamp(std::min(fair, wanted), 1.0, excess);
    const double filled = std::max(count * each / per_slot, 1e-3);
    demand -= filled;
    ask_back(slave, static_cast<std::uint32_t>(count), filled, now, out);
  }
}

void Scheduler::ask_back(Slave& slave, std::uint32_t count, double demand, Time now,
                         std::vector<TakeBack>& out) {
  slave.take_back_pending = true;
  slave.take_back_asked = now;
  slave.take_back_demand = demand;
  pending_demand_ += demand;
  out.push_back({slave.id, count});
}

/// About how many seconds pass before the last task this slave holds starts. A task that runs
/// longer than estimated says that the estimates of the others may be wrong as well.
double Scheduler::wait_of_last(const Slave& slave, Time now) const {
  const double part_waiting = static_cast<double>(slave.counted_excess) / slave.held_cores;
  const double estimated = slave.work * part_waiting / slave.slots;
  if (slave.held.empty()) return estimated;
  const TaskRecord& oldest = tasks_[slave.held.head];
  return oldest.started ? std::max(estimated, to_seconds(oldest.age(now))) : estimated;
}

void Scheduler::find_stragglers(Time now) {
  stragglers_.clear();
  next_scan_ = now + std::clamp<Duration>(kLookAtTask * static_cast<std::int64_t>(sent_), 20ms, 1s);
  for (const Slave& slave : slaves_) {
    const bool hangs = slave.take_back_pending && now - slave.take_back_asked > kNoAnswer;
    for (std::uint32_t index = slave.held.head; index != kNone; index = tasks_[index].next) {
      const TaskRecord& task = tasks_[index];
      if (!task.repeatable || task.state != State::sent || task.cancelled) continue;
      if (task.attempts_left < 2 || !(task.started || hangs)) continue;
      const TaskHistory* history = tasks_.find_history(task);
      if (history && history->twin_holder != kNoSlave) continue;
      const DurationEstimate& duration = kinds_[task.kind].duration;
      const Duration age = task.age(now);
      if (!duration.known() || to_seconds(age) <= duration.straggler_after()) continue;
      stragglers_.push_back({age, tasks_.id(index)});
    }
  }
  std::sort(stragglers_.begin(), stragglers_.end(),
            [](const Straggler& a, const Straggler& b) { return a.age < b.age; });
}

}  // namespace knee::driver
