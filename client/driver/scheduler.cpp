#include "client/driver/scheduler.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "client/driver/scheduler_internal.h"

namespace knee::driver {
namespace {

constexpr std::uint32_t kMaxSlaves = 1u << 20;
// The first task of a slave may wait for a program to be shipped: that is no turnaround.
constexpr double kLongestTurnaround = 0.25;
constexpr double kClearlyLonger = 1.5;
constexpr float kTurnaroundDecay = 0.9995F;
// A slave is topped up when it has less than this part of `ahead` left beyond its turnaround, or of
// `tasks_ahead`:
// messages stay worth their price, and the new tasks arrive before the old ones are done.
constexpr double kTopUpBelow = 0.5;
constexpr float kSlowest = 64;

bool is_final(AttemptEnd end, const TaskRecord& task) {
  switch (end) {
    case AttemptEnd::value:
    case AttemptEnd::exception:
    case AttemptEnd::exited:
    case AttemptEnd::cancelled:
      return true;
    case AttemptEnd::timeout:
      return !task.retry_timeouts;
    default:
      return false;
  }
}

bool is_charged(AttemptEnd end) {
  return end != AttemptEnd::lost_uncharged && end != AttemptEnd::given_back;
}

// Half octaves: 0 is four times as fast as the average slave, 7 four times as slow.
std::uint8_t speed_class(float slowness) {
  const int steps = static_cast<int>(std::bit_cast<std::uint32_t>(slowness) >> 22);
  const int average = static_cast<int>(std::bit_cast<std::uint32_t>(1.0F) >> 22);
  return static_cast<std::uint8_t>(std::clamp(steps - average + 4, 0, 7));
}

}  // namespace

Scheduler::Scheduler(SchedulerOptions options) : options_(options) {
  lines_.push_back({1, {}, 0});
}

// ---- slaves -------------------------------------------------------------------------------

SlaveId Scheduler::add_slave(const SlaveFacts& facts, Time now) {
  std::uint32_t index;
  if (!free_slaves_.empty()) {
    index = free_slaves_.back();
    free_slaves_.pop_back();
  } else {
    index = static_cast<std::uint32_t>(slaves_.size());
    if (index >= kMaxSlaves - 1) {
      throw std::runtime_error("cannot add another slave: 1048575 are known already");
    }
    slaves_.emplace_back().id = SlaveId{index};
    ready_.reserve(index + 1);
  }
  Slave& slave = slaves_[index];
  slave.known = true;
  update_slave(slave.id, facts, now);
  return slave.id;
}

void Scheduler::update_slave(SlaveId id, const SlaveFacts& facts, Time) {
  Slave& slave = at(id);
  slave.slots = facts.slots;
  slave.end = facts.end;
  slave.resting = slave.dry = false;
  refile(slave);
  keep_someone_going();
}

void Scheduler::lose_slave(SlaveId id, Time now, std::vector<EndedTask>& ended) {
  Slave& slave = at(id);
  slave.slots = 0;
  slave.end.reset();
  take_back_done(id, 0, now);
  slave.results = 0;
  slave.probe = kNone;
  bring_back(slave, ended);
  refile(slave);
  keep_someone_going();
}

void Scheduler::remove_slave(SlaveId id, Time now, std::vector<EndedTask>& ended) {
  lose_slave(id, now, ended);
  Slave& slave = at(id);
  while (!slave.pinned.empty()) {
    const std::uint32_t index = slave.pinned.head;
    dequeue(index);
    ended.push_back({tasks_.id(index), AttemptEnd::lost_uncharged});
    tasks_.release(index);
  }
  suspects_ -= slave.counted_suspect;
  std::erase(suspended_, slave_index(id));
  // The lists of slaves to visit may still name this index: keep their marks with it.
  const bool dry_listed = slave.dry_listed;
  const bool pinned_listed = slave.pinned_listed;
  slave = Slave{};
  slave.id = SlaveId{static_cast<std::uint32_t>(id) + kMaxSlaves};
  slave.dry_listed = dry_listed;
  slave.pinned_listed = pinned_listed;
  free_slaves_.push_back(slave_index(id));
}

/// Everything the slave held goes back to the queue, in its order, or ends.
void Scheduler::bring_back(Slave& slave, std::vector<EndedTask>& ended) {
  const auto bring = [&](std::uint32_t index) {
    const TaskId id = tasks_.id(index);
    TaskRecord& task = tasks_[index];
    const bool was_started =
        task.holder == slave.id ? task.started : tasks_.find_history(task)->twin_started;
    // That it started may be news lost with the slave. With its last attempt that is not risked.
    const bool may_run_again = task.attempts_left > 1;
    const AttemptEnd end =
        was_started || !may_run_again ? AttemptEnd::slave_lost : AttemptEnd::lost_uncharged;
    end_attempt(task, index, slave);
    const Verdict verdict = settle(task, index, slave.id, end);
    if (verdict.action == Verdict::Action::deliver) ended.push_back({id, verdict.end});
  };
  while (!slave.twins.empty()) bring(slave.twins.back());
  while (!slave.held.empty()) bring(slave.held.tail);
}

Scheduler::Slave& Scheduler::at(SlaveId id) {
  if (Slave* slave = find(id)) return *slave;
  throw std::invalid_argument("no slave " + std::to_string(static_cast<std::uint32_t>(id)) +
                              ": it was removed or never added");
}

/// Brings the totals and the drawer of a slave up to date after anything about it changed.
void Scheduler::refile(Slave& slave) {
  const bool usable = slave.slots > 0 && !slave.health.suspended();
  const std::uint32_t slots = usable ? slave.slots : 0;
  const std::uint32_t busy = std::min(slots, slave.held_cores);
  const std::uint32_t free_to_move = slave.held_cores - slave.held_pinned;
  const bool over = usable && slave.held_cores > slots;
  const std::uint32_t excess = over ? std::min(slave.held_cores - slots, free_to_move) : 0;
  const std::uint8_t level = wanted_level(slave);
  const std::uint32_t idle = level < 16 ? slots - busy : 0;

  usable_ = usable_ + usable - (slave.counted_slots > 0);
  slots_ = slots_ + slots - slave.counted_slots;
  busy_ = busy_ + busy - slave.counted_busy;
  idle_ready_ = idle_ready_ + idle - slave.counted_idle;
  excess_ = excess_ + excess - slave.counted_excess;
  slave.counted_slots = slots;
  slave.counted_busy = busy;
  slave.counted_idle = idle;
  slave.counted_excess = excess;

  const std::uint32_t index = slave_index(slave.id);
  ready_.file(index, ReadySlaves::size_of(slave.slots), level);
  if (slave.pinned_queued > 0 && level != ReadySlaves::kUnfiled && !slave.pinned_listed) {
    slave.pinned_listed = true;
    pinned_ready_.push_back(index);
  }
}

/// Idle slots first, of the fastest slaves first, there the slaves that do nothing at all.
std::uint8_t Scheduler::wanted_level(const Slave& slave) const {
  if (!has_credit(slave)) return ReadySlaves::kUnfiled;
  const std::uint8_t speed = speed_class(slave.slowness);
  if (slave.held_cores >= slave.slots) return 16 + speed;
  return static_cast<std::uint8_t>(2 * speed + (slave.held_cores > 0));
}

bool Scheduler::has_credit(const Slave& slave) const {
  if (slave.slots == 0 || slave.resting || slave.dry || slave.health.suspended()) return false;
  if (slave.health.on_trial()) return slave.held_tasks == 0;
  if (slave.held_cores < 2 * slave.slots) return true;
  if (slave.held_tasks >= slave.slots + kTopUpBelow * options_.tasks_ahead) return false;
  const double enough =
      kTopUpBelow * to_seconds(options_.ahead) + static_cast<double>(slave.turnaround);
  return slave.held_tasks < 2 * slave.results && slave.work < slave.slots * enough;
}

// ---- tasks --------------------------------------------------------------------------------

TaskId Scheduler::submit(const TaskFacts& facts) {
  if (facts.pinned != kNoSlave) at(facts.pinned);
  const std::uint32_t index = tasks_.allocate();
  TaskRecord& task = tasks_[index];
  task.kind = facts.kind;
  task.bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(facts.argument_bytes, UINT32_MAX));
  task.pinned = facts.pinned;
  task.holder = kNoSlave;
  task.cores = std::max<std::uint16_t>(facts.cores, 1);
  task.attempts_left = std::max<std::uint8_t>(facts.attempts, 1);
  task.retry_timeouts = facts.retry_timeouts;
  task.repeatable = facts.repeatable && facts.attempts > 1 && facts.pinned == kNoSlave;
  task.started = task.cancelled = task.retried = false;
  enqueue(index, false);
  return {index, task.generation};
}

Cancellation Scheduler::cancel(TaskId id) {
  TaskRecord* task = tasks_.find(id);
  if (!task || task->state == State::done) return {};
  if (task->state == State::queued) {
    dequeue(id.index);
    tasks_.release(id.index);
    return {Cancellation::Found::dropped};
  }
  task->cancelled = true;
  const TaskHistory* history = tasks_.find_history(*task);
  return {Cancellation::Found::sent, {task->holder, history ? history->twin_holder : kNoSlave}};
}

void Scheduler::started(TaskId id, SlaveId slave_id, Time now) {
  TaskRecord* task = tasks_.find(id);
  Slave* slave = find(slave_id);
  if (!task || !slave || task->state == State::queued) return;
  if (task->holder == slave_id) {
    if (task->started) return;
    task->started = true;
    task->sent_at(now);
    ++slave->started;
  } else if (TaskHistory* history = tasks_.find_history(*task);
             history && history->twin_holder == slave_id && !history->twin_started) {
    history->twin_started = true;
    history->twin_since = now;
    ++slave->started;
  }
}

Verdict Scheduler::finished(TaskId id, SlaveId slave_id, Duration run_time, AttemptEnd end,
                            Time now) {
  TaskRecord* task = tasks_.find(id);
  Slave* slave = find(slave_id);
  if (!task || !slave || task->state == State::queued) return {};
  const std::optional<Attempt> attempt = end_attempt(*task, id.index, *slave);
  if (!attempt) return {};
  slave->resting = slave->dry = false;
  if (end != AttemptEnd::given_back) slave->last_end = now;
  if (end == AttemptEnd::value || end == AttemptEnd::exception) {
    learn(*slave, *task, id.index, run_time, now);
  }
  if (slave->probe == id.index) slave->probe = kNone;
  if (task->state == State::sent) judge_end(*slave, *task, end, now);
  const Verdict verdict = settle(*task, id.index, slave_id, end);
  refile(*slave);
  return verdict;
}

/// Takes the attempt off its slave. A twin that goes on becomes the only attempt.
std::optional<Scheduler::Attempt> Scheduler::end_attempt(TaskRecord& task, std::uint32_t index,
                                                         Slave& slave) {
  TaskHistory* history = tasks_.find_history(task);
  const bool is_twin = history && history->twin_holder == slave.id;
  if (!is_twin && task.holder != slave.id) return std::nullopt;
  const Attempt attempt = is_twin ? Attempt{history->twin_started, history->twin_estimate}
                                  : Attempt{task.started, task.estimate};
  count_held(slave, task, attempt.estimate, -1);
  slave.started -= attempt.started;
  if (is_twin) {
    std::erase(slave.twins, index);
    history->twin_holder = kNoSlave;
    return attempt;
  }
  tasks_.erase(slave.held, index);
  task.holder = kNoSlave;
  task.started = false;
  if (!history || history->twin_holder == kNoSlave) return attempt;
  Slave& other = at(history->twin_holder);
  std::erase(other.twins, index);
  tasks_.push_back(other.held, index);
  task.holder = history->twin_holder;
  task.estimate = history->twin_estimate;
  task.started = history->twin_started;
  task.sent_at(history->twin_since);
  history->twin_holder = kNoSlave;
  return attempt;
}

void Scheduler::learn(Slave& slave, const TaskRecord& task, std::uint32_t index, Duration run_time,
                      Time now) {
  const double seconds = to_seconds(run_time);
  DurationEstimate& duration = kind(task.kind).duration;
  duration.observe(seconds);
  const float weight = std::max(1.0F / static_cast<float>(slave.results + 4), 0.02F);
  const auto ratio =
      static_cast<float>(std::max(seconds, DurationEstimate::kLeast) / duration.mean());
  slave.slowness += weight * (std::min(ratio, kSlowest) - slave.slowness);
  slave.slowness = std::clamp(slave.slowness, 1 / kSlowest, kSlowest);
  if (slave.probe == index && slave.results > 0) learn_turnaround(slave, seconds, now);
  ++slave.results;
}

/// A task returns after the turnaround or after those before it, whichever is later. So a task
/// that took clearly longer than the others explain shows the turnaround, and any task bounds it.
/// The slow decay undoes what an estimate that was wrong has added.
void Scheduler::learn_turnaround(Slave& slave, double run_time, Time now) {
  const double away = to_seconds(now - slave.probe_sent) - run_time;
  const auto sample = static_cast<float>(std::clamp(away, 0.0, kLongestTurnaround));
  const bool starved = away > kClearlyLonger * slave.probe_wait;
  if (sample < slave.turnaround || (starved && slave.turnaround == 0)) {
    slave.turnaround = sample;
  } else if (starved) {
    slave.turnaround += (sample - slave.turnaround) / 8;
  } else {
    slave.turnaround *= kTurnaroundDecay;
  }
}

/// What becomes of a task after one of its attempts ended.
Verdict Scheduler::settle(TaskRecord& task, std::uint32_t index, SlaveId slave, AttemptEnd end) {
  const bool another_goes_on = task.holder != kNoSlave;
  if (task.state == State::done) {
    if (!another_goes_on) tasks_.release(index);
    return {};
  }
  // Also if it still came to an end of its own: it may have ended early because it was told to.
  if (task.cancelled) return deliver(task, index, AttemptEnd::cancelled);
  if (is_final(end, task)) return deliver(task, index, end);
  if (is_charged(end)) charge(task, slave, end);
  if (another_goes_on) return {};
  if (task.attempts_left == 0) return deliver(task, index, end);
  put_back(task, index);
  return {Verdict::Action::retry, end};
}

Verdict Scheduler::deliver(TaskRecord& task, std::uint32_t index, AttemptEnd end) {
  const Verdict verdict{Verdict::Action::deliver, end, task.holder};
  repeatable_sent_ -= task.repeatable;
  if (task.holder == kNoSlave) {
    tasks_.release(index);
  } else {
    task.state = State::done;
  }
  return verdict;
}

void Scheduler::charge(TaskRecord& task, SlaveId slave, AttemptEnd end) {
  --task.attempts_left;
  task.retried = true;
  const bool crash = end == AttemptEnd::crashed || end == AttemptEnd::out_of_memory;
  tasks_.history(task).remember_failure(slave, crash);
}

void Scheduler::put_back(TaskRecord& task, std::uint32_t index) {
  repeatable_sent_ -= task.repeatable;
  enqueue(index, true);
}

// ---- the queue ----------------------------------------------------------------------------

Scheduler::Kind& Scheduler::kind(std::uint32_t index) {
  if (index >= kinds_.size()) kinds_.resize(index + 1);
  return kinds_[index];
}

Scheduler::Line& Scheduler::line_of(std::uint16_t cores) {
  if (cores == 1) return lines_.front();
  const auto same = [cores](const Line& line) { return line.cores == cores; };
  const auto found = std::find_if(lines_.begin(), lines_.end(), same);
  if (found != lines_.end()) return *found;
  return lines_.emplace_back(Line{cores, {}, 0});
}

TaskList& Scheduler::list_of(const TaskRecord& task) {
  if (task.pinned != kNoSlave) return slaves_[slave_index(task.pinned)].pinned;
  return task.retried ? retries_ : line_of(task.cores).tasks;
}

void Scheduler::enqueue(std::uint32_t index, bool front) {
  TaskRecord& task = tasks_[index];
  task.state = State::queued;
  task.order = front ? --front_order_ : next_order_++;
  TaskList& list = list_of(task);
  // Retries come before all others by themselves; among each other they are first come first
  // served.
  if (front && !task.retried) {
    tasks_.push_front(list, index);
  } else {
    tasks_.push_back(list, index);
  }
  ++queued_;
  kind(task.kind).queued_cores += task.cores;
  if (task.pinned != kNoSlave) {
    Slave& slave = slaves_[slave_index(task.pinned)];
    ++slave.pinned_queued;
    refile(slave);
    return;
  }
  ++(task.retried ? retries_queued_ : line_of(task.cores).count);
  ++queued_unpinned_;
  queued_cores_ += task.cores;
  dry_stale_ = true;
}

void Scheduler::dequeue(std::uint32_t index) {
  TaskRecord& task = tasks_[index];
  tasks_.erase(list_of(task), index);
  --queued_;
  kinds_[task.kind].queued_cores -= task.cores;
  if (task.pinned != kNoSlave) {
    --slaves_[slave_index(task.pinned)].pinned_queued;
    return;
  }
  --(task.retried ? retries_queued_ : line_of(task.cores).count);
  --queued_unpinned_;
  queued_cores_ -= task.cores;
}

void Scheduler::count_held(Slave& slave, const TaskRecord& task, float estimate, int sign) {
  const auto step = static_cast<std::uint32_t>(sign);
  const auto cores = static_cast<std::uint32_t>(sign * task.cores);
  slave.held_tasks += step;
  slave.held_cores += cores;
  if (task.pinned != kNoSlave) slave.held_pinned += cores;
  slave.bytes += static_cast<std::uint64_t>(std::int64_t{sign} * task.bytes);
  slave.work += sign * static_cast<double>(estimate) * task.cores;
  if (slave.held_tasks == 0) slave.work = 0;  // rounding errors do not pile up
  kinds_[task.kind].held += static_cast<std::uint64_t>(std::int64_t{sign});
  sent_ += static_cast<std::uint64_t>(std::int64_t{sign});
}

// ---- what the caller may want to know ------------------------------------------------------

std::optional<Time> Scheduler::next_deadline(Time now) const {
  std::optional<Time> next;
  const auto consider = [&](Time time) { next = std::min(next.value_or(time), time); };
  for (const std::uint32_t index : suspended_) consider(slaves_[index].health.suspended_until());
  if (queued_unpinned_ > 0 && !dry_.empty()) {
    consider(dry_stale_ ? next_wake_ : next_wake_ + std::chrono::seconds(1));
  }
  const bool someone_idle = idle_ready_ > 0 || !dry_.empty();
  if (queued_unpinned_ == 0 && someone_idle && repeatable_sent_ > 0) consider(next_scan_);
  if (at_the_tail() && excess_ > 0) consider(next_take_back_);
  if (next) next = std::max(*next, now);
  return next;
}

void Scheduler::take_events(std::vector<SlaveEvent>& out) {
  out.insert(out.end(), events_.begin(), events_.end());
  events_.clear();
}

std::vector<std::pair<SlaveId, std::uint32_t>> Scheduler::waiting_for_absent() const {
  std::vector<std::pair<SlaveId, std::uint32_t>> absent;
  for (const Slave& slave : slaves_)
    if (slave.known && slave.slots == 0 && slave.pinned_queued != 0)
      absent.emplace_back(slave.id, slave.pinned_queued);
  return absent;
}

ScheduleTotals Scheduler::totals() const {
  return {queued_, sent_, slots_, busy_};
}

std::uint64_t Scheduler::running() const {
  std::uint64_t running = 0;
  for (const Slave& slave : slaves_) {
    // Of those that are too many each is taken to be as wide as the average.
    const std::uint64_t tasks = slave.held_tasks;
    running += slave.held_cores <= slave.slots ? tasks : tasks * slave.slots / slave.held_cores;
  }
  return running;
}

SlaveState Scheduler::state_of(SlaveId id) const {
  const Slave& slave = const_cast<Scheduler*>(this)->at(id);
  SlaveState state{slave.slots,
                   slave.held_tasks,
                   slave.held_cores,
                   slave.started,
                   slave.pinned_queued,
                   slave.bytes,
                   1.0 / static_cast<double>(slave.slowness),
                   to_duration(static_cast<double>(slave.turnaround)),
                   std::nullopt};
  if (slave.health.suspended()) state.suspended_until = slave.health.suspended_until();
  return state;
}

std::optional<Duration> Scheduler::remaining_time() const {
  double work = 0;
  for (const Kind& kind : kinds_) {
    if ((kind.queued_cores > 0 || kind.held > 0) && !kind.duration.known()) return std::nullopt;
    work += static_cast<double>(kind.queued_cores) * kind.duration.mean();
  }
  double speed = 0;
  for (const Slave& slave : slaves_) {
    // What was sent is counted at the speed of the average slave, as what is queued.
    work += slave.work / static_cast<double>(slave.slowness);
    speed += slave.counted_slots / static_cast<double>(slave.slowness);
  }
  if (speed == 0) return std::nullopt;
  return to_duration(work / speed);
}

Unschedulable Scheduler::unschedulable() const {
  std::uint32_t widest = 0;
  for (const Slave& slave : slaves_) widest = std::max(widest, slave.slots);
  Unschedulable result;
  if (widest == 0) return result;  // nobody is here: that is another message
  const auto add = [&](std::uint16_t cores, std::uint64_t tasks) {
    if (tasks == 0 || cores <= widest) return;
    result.tasks += tasks;
    result.cores = result.cores == 0 ? cores : std::min(result.cores, cores);
  };
  for (const Line& line : lines_) add(line.cores, line.count);
  for (const Slave& slave : slaves_) {
    for (std::uint32_t i = slave.pinned.head; i != kNone; i = tasks_[i].next) {
      if (slave.slots > 0 && tasks_[i].cores > slave.slots) {
        ++result.tasks;
        result.cores =
            result.cores == 0 ? tasks_[i].cores : std::min(result.cores, tasks_[i].cores);
      }
    }
  }
  return result;
}

std::uint64_t Scheduler::outlasting(Time now) const {
  const auto would_do = [&](const Slave& slave, const TaskRecord& task) {
    return slave.slots >= task.cores && !outlasts(slave, task, now);
  };
  std::uint64_t tasks = 0;
  for (const Line& line : lines_) {
    if (line.tasks.empty()) continue;
    const TaskRecord& first = tasks_[line.tasks.head];
    bool wide_enough = false;
    bool none = true;
    for (const Slave& slave : slaves_) {
      wide_enough = wide_enough || slave.slots >= first.cores;
      none = none && !would_do(slave, first);
    }
    if (wide_enough && none) tasks += line.count;
  }
  return tasks;
}

std::size_t Scheduler::bytes_used() const {
  return tasks_.bytes_used() + kinds_.capacity() * sizeof(Kind) +
         slaves_.capacity() * sizeof(Slave);
}

}  // namespace knee::driver
