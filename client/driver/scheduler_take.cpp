// Scheduler: who is visited next, and what it is given.

#include <algorithm>

#include "client/driver/scheduler_internal.h"

namespace knee::driver {
namespace {

constexpr std::uint32_t kAllLevels = (1u << ReadySlaves::kLevels) - 1;
constexpr std::uint32_t kIdleLevels = 0xffff;
constexpr std::uint32_t kEmptyLevels = 0x5555;  // slaves that do nothing at all
// A message costs about 20 us: short tasks are not spread thinner than this.
constexpr double kWorthAMessage = 100e-6;
// Behind more work than this (in seconds) a task says nothing about the turnaround.
constexpr double kLongestProbe = 0.5;
// How many tasks that it may not run a slave looks past.
constexpr int kLookAhead = 64;
// Asking a slave again that found nothing costs a look past kLookAhead tasks: at most 5 % of the
// time.
constexpr auto kWakeCost = std::chrono::microseconds(2);

}  // namespace

// ---- who ----------------------------------------------------------------------------------

std::optional<SlaveId> Scheduler::next_ready(Time now) {
  if (!suspended_.empty()) end_suspensions(now);
  if (!pinned_ready_.empty()) {
    if (const auto slave = next_pinned()) return slave;
  }
  if (queued_unpinned_ == 0) {
    // Idle slaves that found nothing suitable must count as idle again.
    if (!dry_.empty() && (stragglers_.empty() || now >= next_scan_)) wake_all_dry(now);
    if (wants_stragglers() && now >= next_scan_) find_stragglers(now);
    if (stragglers_.empty()) return std::nullopt;
    const std::uint32_t index = ready_.best(0, kIdleLevels);
    if (index == ReadySlaves::kNobody) return std::nullopt;
    return slaves_[index].id;
  }
  std::uint32_t index = best_for_queue();
  if (index == ReadySlaves::kNobody && wake_dry(now)) index = best_for_queue();
  if (index == ReadySlaves::kNobody) return std::nullopt;
  return slaves_[index].id;
}

std::optional<SlaveId> Scheduler::next_pinned() {
  while (!pinned_ready_.empty()) {
    const std::uint32_t index = pinned_ready_.back();
    pinned_ready_.pop_back();
    Slave& slave = slaves_[index];
    slave.pinned_listed = false;
    const bool ready = ready_.level(index) != ReadySlaves::kUnfiled;
    if (slave.known && slave.pinned_queued > 0 && ready) return slave.id;
  }
  return std::nullopt;
}

std::uint32_t Scheduler::best_for_queue() const {
  if (retries_queued_ > 0 || lines_.front().count > 0) return ready_.best(0, kAllLevels);
  std::uint16_t narrowest = UINT16_MAX;
  for (const Line& line : lines_) {
    if (line.count > 0) narrowest = std::min(narrowest, line.cores);
  }
  const std::uint8_t size = ReadySlaves::size_of(narrowest);
  const std::uint32_t empty = ready_.best(size, kEmptyLevels);
  return empty != ReadySlaves::kNobody ? empty : ready_.best(size, kAllLevels);
}

/// Lets the slaves that found nothing suitable look again: at once if something new is queued,
/// but not so often that it costs much, and now and then because estimates change.
bool Scheduler::wake_dry(Time now) {
  if (dry_.empty()) return false;
  if (now < (dry_stale_ ? next_wake_ : next_wake_ + std::chrono::seconds(1))) return false;
  wake_all_dry(now);
  return true;
}

void Scheduler::wake_all_dry(Time now) {
  next_wake_ = now + kWakeCost * static_cast<std::int64_t>(dry_.size());
  dry_stale_ = false;
  std::vector<std::uint32_t> woken;
  woken.swap(dry_);
  for (const std::uint32_t index : woken) {
    Slave& slave = slaves_[index];
    slave.dry_listed = false;
    if (!slave.dry) continue;
    slave.dry = false;
    refile(slave);
  }
}

// ---- what ---------------------------------------------------------------------------------

void Scheduler::take(SlaveId id, Time now, std::vector<TaskId>& out) {
  Slave* slave = find(id);
  if (!slave || !has_credit(*slave)) return;
  Intake intake{now, out};
  set_share(intake, *slave);
  const std::size_t before = out.size();
  if (slave->pinned_queued > 0) take_from(slave->pinned, *slave, intake);
  if (!intake.full && retries_queued_ > 0) take_from(retries_, *slave, intake);
  if (!intake.full && queued_unpinned_ > 0) take_lines(*slave, intake);
  if (queued_unpinned_ == 0 && !stragglers_.empty()) take_twins(*slave, intake);

  const bool took_nothing = out.size() == before;
  const bool something_left = queued_unpinned_ + slave->pinned_queued + stragglers_.size() > 0;
  if (intake.full && slave->held_tasks > 0) {
    slave->resting = true;
  } else if (took_nothing && something_left) {
    slave->dry = true;
    if (!slave->dry_listed) dry_.push_back(slave_index(id));
    slave->dry_listed = true;
  }
  refile(*slave);
}

std::optional<SlaveId> Scheduler::start_awaited(TaskId id, Time now, std::vector<TaskId>& out) {
  TaskRecord* task = tasks_.find(id);
  if (!task || task->state == State::done) return std::nullopt;
  if (task->state == State::sent) {
    // Though there seem to be slots for all that was sent: tasks of others may hold them.
    return task->started ? std::nullopt : std::optional(task->holder);
  }
  Slave* slave = emptiest_for(*task, now);
  if (!slave) return std::nullopt;
  Intake intake{now, out};
  assign(id.index, *slave, intake);
  refile(*slave);
  return slave->id;
}

/// Whose slots are the least taken.
Scheduler::Slave* Scheduler::emptiest_for(const TaskRecord& task, Time now) {
  Slave* best = nullptr;
  const auto held_per_slot = [](const Slave& slave) {
    return static_cast<double>(slave.held_cores) / slave.slots;
  };
  for (Slave& slave : slaves_) {
    const bool suits = slave.known && slave.slots >= task.cores && !slave.health.suspended() &&
                       !outlasts(slave, task, now);
    if (!suits || (task.pinned != kNoSlave && task.pinned != slave.id)) continue;
    if (!may_run_on(slave, task, now)) continue;
    if (!best || held_per_slot(slave) < held_per_slot(*best)) best = &slave;
  }
  return best;
}

void Scheduler::rest(SlaveId id) {
  Slave* slave = find(id);
  if (!slave) return;
  slave->resting = true;
  refile(*slave);
}

/// How many tasks a slave may take beyond its slots: its share of what is queued beyond all idle
/// slots, so a slave visited early leaves enough for the others. Where it may hold many tasks it
/// takes half of that, so what is left at the end of a bag comes in ever smaller pieces.
void Scheduler::set_share(Intake& intake, const Slave& slave) const {
  const std::uint64_t spare = queued_cores_ > idle_ready_ ? queued_cores_ - idle_ready_ : 0;
  const std::uint64_t all = std::max<std::uint64_t>(slots_, 1);
  const std::uint64_t share = (spare * slave.slots + all - 1) / all;
  const bool alone = slots_ == slave.slots;
  intake.ahead_left = share;
  intake.kept_back = alone ? 0 : share / 2;
  const std::uint32_t head = lines_.front().tasks.head;
  if (head == kNone || !kinds_[tasks_[head].kind].duration.known()) return;
  const auto worth = static_cast<std::uint64_t>(kWorthAMessage / seconds_on(slave, tasks_[head]));
  if (share - intake.kept_back >= worth) return;
  intake.ahead_left = std::max(share, worth);
  intake.kept_back = intake.ahead_left - worth;
}

Scheduler::Fit Scheduler::fit(const Slave& slave, const TaskRecord& task,
                              const Intake& intake) const {
  if (task.cores > slave.slots) return Fit::unsuitable;
  if (slave.end && outlasts(slave, task, intake.now)) return Fit::unsuitable;
  if (slave.health.on_trial() && slave.held_tasks > 0) return Fit::full;
  if (slave.held_cores + task.cores <= slave.slots) return Fit::yes;
  if (slave.held_tasks >= slave.slots + options_.tasks_ahead) return Fit::full;
  if (!has_room_for_bytes(slave, task)) return Fit::full;
  // A task of several cores can only start after slots were kept free for it: its slave does that.
  const bool needs_share = task.pinned == kNoSlave && task.cores == 1;
  if (needs_share && intake.ahead_left == 0) return Fit::full;
  if (slave.held_cores < 2 * slave.slots) return Fit::yes;
  if (needs_share && intake.ahead_left <= intake.kept_back) return Fit::full;
  // More than one ahead: only for short tasks, and no more than twice what has returned so far,
  // of this slave and of this kind, so that trust doubles with each round.
  const Kind& kind = kinds_[task.kind];
  if (slave.held_tasks >= 2 * slave.results || kind.held >= 2 * kind.duration.results()) {
    return Fit::full;
  }
  const double credit =
      slave.slots * (to_seconds(options_.ahead) + static_cast<double>(slave.turnaround));
  return slave.work + seconds_on(slave, task) * task.cores <= credit ? Fit::yes : Fit::full;
}

/// Whether one more may wait there while the slots are busy, with those that were sent first: only
/// bytes that wait count. Slow only when there are many bytes.
bool Scheduler::has_room_for_bytes(const Slave& slave, const TaskRecord& task) const {
  if (slave.bytes + task.bytes <= options_.bytes_ahead) return true;
  std::uint64_t waiting = slave.bytes;
  std::uint32_t cores = 0;
  const auto runs = [&](std::uint32_t index) {
    cores += tasks_[index].cores;
    if (cores <= slave.slots) waiting -= tasks_[index].bytes;
  };
  for (const std::uint32_t twin : slave.twins) runs(twin);
  for (std::uint32_t i = slave.held.head; i != kNone && cores < slave.slots; i = tasks_[i].next)
    runs(i);
  return waiting == 0 || waiting + task.bytes <= options_.bytes_ahead;
}

/// An unknown kind counts as as long as the credit of a slot.
double Scheduler::seconds_on(const Slave& slave, const TaskRecord& task) const {
  const DurationEstimate& duration = kinds_[task.kind].duration;
  if (!duration.known()) return to_seconds(options_.ahead);
  return std::max(duration.mean() * static_cast<double>(slave.slowness), DurationEstimate::kLeast);
}

bool Scheduler::outlasts(const Slave& slave, const TaskRecord& task, Time now) const {
  if (!slave.end) return false;
  if (*slave.end <= now) return true;
  const double wait = slave.held_cores >= slave.slots ? slave.work / slave.slots : 0;
  const bool known = kinds_[task.kind].duration.known();
  const double run = known ? seconds_on(slave, task) : 0;
  return wait + run > to_seconds(*slave.end - now);
}

/// Not where it failed, unless there is no other.
bool Scheduler::may_run_on(const Slave& slave, const TaskRecord& task, Time now) const {
  if (!task.retried || task.pinned != kNoSlave) return true;
  const TaskHistory* history = tasks_.find_history(task);
  if (!history || !history->has_failed_on(slave.id)) return true;
  return std::none_of(slaves_.begin(), slaves_.end(), [&](const Slave& other) {
    return other.counted_slots >= task.cores && !history->has_failed_on(other.id) &&
           !outlasts(other, task, now);
  });
}

void Scheduler::take_from(TaskList& list, Slave& slave, Intake& intake) {
  int passed_over = 0;
  for (std::uint32_t index = list.head; index != kNone && passed_over < kLookAhead;) {
    const TaskRecord& task = tasks_[index];
    const std::uint32_t next = task.next;
    const Fit answer = fit(slave, task, intake);
    if (answer == Fit::full) {
      intake.full = true;
      return;
    }
    if (answer == Fit::yes && may_run_on(slave, task, intake.now)) {
      assign(index, slave, intake);
    } else {
      ++passed_over;
    }
    index = next;
  }
}

void Scheduler::take_lines(Slave& slave, Intake& intake) {
  if (lines_.size() > 1) {
    // In order of submission across the lines, as far as this slave may run what comes.
    while (Line* line = first_line(slave)) {
      const std::uint32_t index = line->tasks.head;
      const Fit answer = fit(slave, tasks_[index], intake);
      intake.full = answer == Fit::full;
      if (intake.full) return;
      if (answer == Fit::unsuitable) break;
      assign(index, slave, intake);
    }
  }
  for (std::size_t i = 0; i < lines_.size() && !intake.full; ++i) {
    if (lines_[i].count > 0 && lines_[i].cores <= slave.slots) {
      take_from(lines_[i].tasks, slave, intake);
    }
  }
}

Scheduler::Line* Scheduler::first_line(const Slave& slave) {
  Line* first = nullptr;
  for (Line& line : lines_) {
    if (line.count == 0 || line.cores > slave.slots) continue;
    if (!first || tasks_[line.tasks.head].order < tasks_[first->tasks.head].order) first = &line;
  }
  return first;
}

void Scheduler::take_twins(Slave& slave, Intake& intake) {
  if (slave.health.on_trial()) return;
  int passed_over = 0;
  for (std::size_t i = stragglers_.size(); i-- > 0 && passed_over < kLookAhead;) {
    if (slave.held_cores >= slave.slots) return;
    const TaskId id = stragglers_[i].task;
    TaskRecord* task = tasks_.find(id);
    const TaskHistory* history = task ? tasks_.find_history(*task) : nullptr;
    const bool still_lags = task && task->state == State::sent && !task->cancelled &&
                            task->attempts_left >= 2 &&
                            !(history && history->twin_holder != kNoSlave);
    if (!still_lags) {
      stragglers_.erase(stragglers_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    const bool was_there =
        task->holder == slave.id || (history && history->has_failed_on(slave.id));
    const bool fits = slave.held_cores + task->cores <= slave.slots;
    if (was_there || !fits || outlasts(slave, *task, intake.now)) {
      ++passed_over;
      continue;
    }
    TaskHistory& twin = tasks_.history(*task);
    twin.twin_holder = slave.id;
    twin.twin_estimate = static_cast<float>(seconds_on(slave, *task));
    twin.twin_since = intake.now;
    twin.twin_started = false;
    slave.twins.push_back(id.index);
    count_held(slave, *task, twin.twin_estimate, 1);
    intake.out.push_back(id);
    stragglers_.erase(stragglers_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void Scheduler::assign(std::uint32_t index, Slave& slave, Intake& intake) {
  dequeue(index);
  TaskRecord& task = tasks_[index];
  const bool beyond_slots = slave.held_cores + task.cores > slave.slots;
  const double wait = beyond_slots ? slave.work / slave.slots : 0;
  if (slave.probe == kNone && wait < kLongestProbe) {
    slave.probe = index;
    slave.probe_sent = intake.now;
    slave.probe_wait = wait;
  }
  if (beyond_slots && task.pinned == kNoSlave && intake.ahead_left > 0) --intake.ahead_left;
  task.state = State::sent;
  task.holder = slave.id;
  task.started = false;
  task.estimate = static_cast<float>(seconds_on(slave, task));
  task.sent_at(intake.now);
  repeatable_sent_ += task.repeatable;
  tasks_.push_back(slave.held, index);
  count_held(slave, task, task.estimate, 1);
  intake.out.push_back({index, task.generation});
}

}  // namespace knee::driver
