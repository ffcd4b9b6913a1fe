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
// A slave that has not answered for this long may hang: what it holds counts as running. The start
// of a worker takes less.
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

void Scheduler::delayed(TaskId id, SlaveId slave) {
  stamp(id, slave, Time::max());
}

void Scheduler::left(TaskId id, SlaveId slave, Time now) {
  stamp(id, slave, now);
}

void Scheduler::stamp(TaskId id, SlaveId slave, Time time) {
  TaskRecord* task = tasks_.find(id);
  if (!task || task->state == State::queued) return;
  if (task->holder == slave) {
    if (!task->started) task->sent_at(time);
  } else if (TaskHistory* history = tasks_.find_history(*task);
             history && history->twin_holder == slave && !history->twin_started) {
    history->twin_since = time;
  }
}

bool Scheduler::has_twin(TaskId id) {
  const TaskRecord* task = tasks_.find(id);
  const TaskHistory* history = task ? tasks_.find_history(*task) : nullptr;
  return history && task->state == State::sent && history->twin_holder != kNoSlave;
}

void Scheduler::find_stragglers(Time now) {
  stragglers_.clear();
  next_scan_ = now + std::clamp<Duration>(kLookAtTask * static_cast<std::int64_t>(sent_), 20ms, 1s);
  for (const Slave& slave : slaves_) {
    std::uint32_t cores = 0;
    for (const std::uint32_t twin : slave.twins) cores += tasks_[twin].cores;
    for (std::uint32_t index = slave.held.head; index != kNone; index = tasks_[index].next) {
      const TaskRecord& task = tasks_[index];
      cores += task.cores;
      if (!task.repeatable || task.state != State::sent || task.cancelled) continue;
      if (task.attempts_left < 2) continue;
      const TaskHistory* history = tasks_.find_history(task);
      if (history && history->twin_holder != kNoSlave) continue;
      const DurationEstimate& duration = kinds_[task.kind].duration;
      const std::optional<Duration> age = lag(slave, task, cores <= slave.slots, now);
      if (!age || !duration.known() || to_seconds(*age) <= duration.straggler_after()) continue;
      stragglers_.push_back({*age, tasks_.id(index)});
    }
  }
  std::sort(stragglers_.begin(), stragglers_.end(),
            [](const Straggler& a, const Straggler& b) { return a.age < b.age; });
}

/// For how long a task must have been running; none if it may still wait. `has_slot`: those sent
/// to its slave before it leave a slot for it.
std::optional<Duration> Scheduler::lag(const Slave& slave, const TaskRecord& task, bool has_slot,
                                       Time now) const {
  if (task.started) return task.age(now);
  const bool hangs = slave.take_back_pending && now - slave.take_back_asked > kNoAnswer;
  if (hangs) return task.has_left() ? task.age(now) : now - slave.take_back_asked;
  // One that waits behind others is taken back. This one should have started when it came, or when
  // one before it ended; that nothing is heard of it says that its slave or the line stands still.
  if (!has_slot || !task.has_left()) return std::nullopt;
  return std::min(task.age(now), now - slave.last_end) - kNoAnswer -
         to_duration(static_cast<double>(slave.turnaround));
}

}  // namespace knee::driver
