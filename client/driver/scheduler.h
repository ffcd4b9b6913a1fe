#pragma once

#include <optional>
#include <vector>

#include "client/driver/black_hole.h"
#include "client/driver/duration_estimate.h"
#include "client/driver/ready_slaves.h"
#include "client/driver/schedule_types.h"
#include "client/driver/task_table.h"

namespace knee::driver {

struct SchedulerOptions {
  /// Every slot has about this much estimated work ahead, plus the turnaround of its slave: as much
  /// as is done between two looks of the slave for results (decision 8).
  Duration ahead = std::chrono::milliseconds(20);
  /// Argument bytes of what waits at one slave while its slots are busy. Of tasks that are larger
  /// only one waits there. What fills idle slots is not counted.
  std::uint64_t bytes_ahead = 8u << 20;
  /// Tasks at one slave beyond its slots, however short they are: some 10 MB of its memory. That
  /// covers a turnaround of 30 ms at a million tasks a second. A slave that many drivers share
  /// takes long to answer each of them, and would by time alone be given all they have.
  std::uint32_t tasks_ahead = 32'768;
};

/// Decides which slave runs which task, and what becomes of a task whose attempt ended.
///
/// Slaves schedule themselves by credit: a slave may hold the tasks it runs and as much work more
/// as it does in `ahead` and while a message goes there and back, or one task more per slot.
/// Results free credit. When the queue is empty and slots are idle, tasks not started are taken
/// back from busy slaves, and repeatable tasks that lag get one twin.
///
/// Pure: it does no I/O, knows no clock and starts no thread. It belongs to one thread. Times
/// passed in never decrease. One turn of the caller:
///
///     finished(...), started(...), submit(...)            what happened
///     while (auto slave = next_ready(now)) take(*slave, now, batch), send the batch
///     take_backs(now, requests), send them
///     take_events(events), print them
///     call again at next_deadline(now) if nothing happens before
class Scheduler {
 public:
  explicit Scheduler(SchedulerOptions options = {});

  // ---- slaves -----------------------------------------------------------------------------

  /// A slave the user named, or one that came by itself. Slots 0: not here yet, tasks pinned to it
  /// wait. Throws std::runtime_error beyond 1,048,575 slaves.
  SlaveId add_slave(const SlaveFacts& facts, Time now);
  /// It came (back), or its slots or end time changed. Tasks it holds stay there.
  void update_slave(SlaveId slave, const SlaveFacts& facts, Time now);
  /// Its connection or session is gone: slots 0 until update_slave. What it held comes back, tasks
  /// known to have started are charged. Appends those that ended for good.
  void lose_slave(SlaveId slave, Time now, std::vector<EndedTask>& ended);
  /// It will not come back: as lose_slave, and tasks pinned to it end as `lost_uncharged`.
  /// Its id is dead from now on.
  void remove_slave(SlaveId slave, Time now, std::vector<EndedTask>& ended);

  // ---- tasks ------------------------------------------------------------------------------

  /// Queues a task, first come first served. Throws std::invalid_argument if it is pinned to a
  /// slave that was removed or never added.
  TaskId submit(const TaskFacts& facts);
  Cancellation cancel(TaskId task);

  /// The best slave that should be visited by `take` now. Each slave returned must be visited
  /// before the next call, by `take` or by `rest`; the loop ends.
  std::optional<SlaveId> next_ready(Time now);
  /// Appends the tasks this slave is to be sent now, perhaps none. A task that appears a second
  /// time, for another slave, is its twin.
  void take(SlaveId slave, Time now, std::vector<TaskId>& out);

  /// Tasks that hold slots wait for this one, so it must not wait for a slot itself. Appends it if
  /// it is to be sent now, to the slave that is returned; that one is to start it, beside its slots
  /// if others hold them. nullopt: it runs, or it is not here, or nobody can run it.
  std::optional<SlaveId> start_awaited(TaskId task, Time now, std::vector<TaskId>& out);

  /// Visits a slave that is to be sent nothing before an attempt of its own has ended. Only of one
  /// where there is one.
  void rest(SlaveId slave);

  /// A task taken for this slave leaves later: something large travels ahead of it.
  void delayed(TaskId task, SlaveId slave);
  /// Now it has left.
  void left(TaskId task, SlaveId slave, Time now);
  /// Two attempts at it are on slaves.
  bool has_twin(TaskId task);
  /// The slave reports starts only of tasks that run for more than some ten milliseconds.
  void started(TaskId task, SlaveId slave, Time now);
  /// `run_time` is what the slave measured; it counts for `value` and `exception`.
  Verdict finished(TaskId task, SlaveId slave, Duration run_time, AttemptEnd end, Time now);

  /// Appends what slaves should be asked to give back. Each answers with its tasks, reported by
  /// finished(..., given_back), and then take_back_done.
  void take_backs(Time now, std::vector<TakeBack>& out);
  void take_back_done(SlaveId slave, std::uint32_t given_back, Time now);

  // ---- what the caller may want to know ------------------------------------------------------

  /// When to take a turn even if nothing happens: a back-off ends, a straggler is due.
  std::optional<Time> next_deadline(Time now) const;
  /// Appends what happened to slaves since the last call.
  void take_events(std::vector<SlaveEvent>& out);
  /// Slaves that are away and have tasks pinned to them, with how many those are.
  std::vector<std::pair<SlaveId, std::uint32_t>> waiting_for_absent() const;
  ScheduleTotals totals() const;
  /// Of the tasks sent, how many may run: of each slave as many as its slots suffice for. Costs a
  /// look at every slave.
  std::uint64_t running() const;
  /// Throws std::invalid_argument for a slave that was removed.
  SlaveState state_of(SlaveId slave) const;
  /// nullopt while nothing is known of a kind, or nobody is there. Costs a look at every slave.
  std::optional<Duration> remaining_time() const;
  Unschedulable unschedulable() const;
  /// Tasks that wait although slaves are here, because each of those must end before they would.
  /// Judged by the first task of each line.
  std::uint64_t outlasting(Time now) const;
  std::size_t bytes_used() const;

 private:
  using State = TaskRecord::State;

  struct Slave {
    SlaveId id = kNoSlave;
    bool known = false;
    std::uint32_t slots = 0;
    std::optional<Time> end;

    std::uint32_t held_tasks = 0;
    std::uint32_t held_cores = 0;
    std::uint32_t held_pinned = 0;
    std::uint32_t started = 0;
    std::uint32_t pinned_queued = 0;
    std::uint64_t bytes = 0;
    double work = 0;       // seconds of one core, as estimated when sent
    float slowness = 1;    // run times here / average run times
    float turnaround = 0;  // seconds
    std::uint64_t results = 0;
    std::uint32_t probe = kNone;  // one task at a time measures the turnaround
    Time probe_sent{};
    double probe_wait = 0;  // seconds it was expected to wait behind others

    Time last_end{};  // when an attempt there ended last

    TaskList held;
    TaskList pinned;
    std::vector<std::uint32_t> twins;  // held as well; their links belong to the first holder
    SlaveHealth health;

    bool take_back_pending = false;
    Time take_back_asked{};
    double take_back_demand = 0;  // idle slots the answer is to fill
    Time next_take_back{};

    bool resting = false;  // got its share, waits for a result of its own
    bool dry = false;      // found nothing it may take, though tasks are queued
    bool dry_listed = false;
    bool pinned_listed = false;

    // Its part of the totals, so that a change is a difference.
    std::uint32_t counted_busy = 0;
    std::uint32_t counted_slots = 0;
    std::uint32_t counted_idle = 0;
    std::uint32_t counted_excess = 0;
    bool counted_suspect = false;
  };

  struct Kind {
    DurationEstimate duration;
    std::uint64_t held = 0;
    std::uint64_t queued_cores = 0;
  };

  /// Tasks that want the same number of cores.
  struct Line {
    std::uint16_t cores;
    TaskList tasks;
    std::uint64_t count;
  };

  enum class Fit : std::uint8_t { yes, full, unsuitable };
  struct Intake;   // one call of take
  struct Attempt;  // what is known of an attempt that has just ended

  // scheduler.cpp: slaves, submission, ends of attempts
  Slave* find(SlaveId id);
  const Slave* find(SlaveId id) const;
  Slave& at(SlaveId id);
  Kind& kind(std::uint32_t index);
  Line& line_of(std::uint16_t cores);
  void enqueue(std::uint32_t index, bool front);
  void dequeue(std::uint32_t index);
  TaskList& list_of(const TaskRecord& task);
  void count_held(Slave& slave, const TaskRecord& task, float estimate, int sign);
  std::optional<Attempt> end_attempt(TaskRecord& task, std::uint32_t index, Slave& slave);
  void learn(Slave& slave, const TaskRecord& task, std::uint32_t index, Duration run_time,
             Time now);
  void learn_turnaround(Slave& slave, double run_time, Time now);
  Verdict settle(TaskRecord& task, std::uint32_t index, SlaveId slave, AttemptEnd end);
  Verdict deliver(TaskRecord& task, std::uint32_t index, AttemptEnd end);
  void charge(TaskRecord& task, SlaveId slave, AttemptEnd end);
  void put_back(TaskRecord& task, std::uint32_t index);
  void bring_back(Slave& slave, std::vector<EndedTask>& ended);
  void refile(Slave& slave);
  std::uint8_t wanted_level(const Slave& slave) const;
  bool has_credit(const Slave& slave) const;

  // slave_trial.cpp: suspensions
  void judge_end(Slave& slave, const TaskRecord& task, AttemptEnd end, Time now);
  void judge(Slave& slave, Time now);
  void suspend(Slave& slave, Time now);
  void resume(Slave& slave);
  void end_suspensions(Time now);
  void keep_someone_going();
  Slave* least_bad_suspended();

  // scheduler_take.cpp: giving out
  std::optional<SlaveId> next_pinned();
  std::uint32_t best_for_queue() const;
  bool wake_dry(Time now);
  void wake_all_dry(Time now);
  Fit fit(const Slave& slave, const TaskRecord& task, const Intake& intake) const;
  bool has_room_for_bytes(const Slave& slave, const TaskRecord& task) const;
  bool outlasts(const Slave& slave, const TaskRecord& task, Time now) const;
  bool may_run_on(const Slave& slave, const TaskRecord& task, Time now) const;
  void take_from(TaskList& list, Slave& slave, Intake& intake);
  void take_lines(Slave& slave, Intake& intake);
  void take_twins(Slave& slave, Intake& intake);
  Line* first_line(const Slave& slave);
  Slave* emptiest_for(const TaskRecord& task, Time now);
  void set_share(Intake& intake, const Slave& slave) const;
  void assign(std::uint32_t index, Slave& slave, Intake& intake);
  double seconds_on(const Slave& slave, const TaskRecord& task) const;

  // scheduler_tail.cpp: the end of a bag
  bool at_the_tail() const { return queued_unpinned_ == 0 && idle_ready_ > 0; }
  bool wants_stragglers() const { return at_the_tail() && repeatable_sent_ > 0; }
  void find_stragglers(Time now);
  std::optional<Duration> lag(const Slave& slave, const TaskRecord& task, bool has_slot,
                              Time now) const;
  void stamp(TaskId task, SlaveId slave, Time time);
  void take_back_from_suspended(Time now, std::vector<TakeBack>& out);
  void take_back_for_idle(Time now, std::vector<TakeBack>& out);
  void ask_back(Slave& slave, std::uint32_t count, double demand, Time now,
                std::vector<TakeBack>& out);
  double wait_of_last(const Slave& slave, Time now) const;

  SchedulerOptions options_;
  TaskTable tasks_;
  std::vector<Kind> kinds_;
  std::vector<Slave> slaves_;
  std::vector<std::uint32_t> free_slaves_;
  ReadySlaves ready_;

  std::vector<Line> lines_;  // [0]: tasks of one core
  TaskList retries_;
  std::uint64_t retries_queued_ = 0;
  std::int64_t next_order_ = 0;
  std::int64_t front_order_ = 0;

  std::uint64_t queued_ = 0;
  std::uint64_t queued_unpinned_ = 0;
  std::uint64_t queued_cores_ = 0;  // unpinned
  std::uint64_t sent_ = 0;
  std::uint64_t repeatable_sent_ = 0;
  std::uint64_t slots_ = 0;
  std::uint64_t busy_ = 0;
  std::uint64_t idle_ready_ = 0;  // idle slots of slaves that would take a task
  std::uint64_t excess_ = 0;  // cores sent beyond the slots of their slave, pinned ones not counted
  std::uint32_t usable_ = 0;  // slaves that are here and not suspended
  std::uint32_t suspects_ = 0;

  std::vector<std::uint32_t> pinned_ready_;
  std::vector<std::uint32_t> dry_;
  bool dry_stale_ = false;  // something came since the dry ones were asked
  Time next_wake_{};
  std::vector<std::uint32_t> suspended_;
  Time next_take_back_{};
  double pending_demand_ = 0;
  Time next_scan_{};
  struct Straggler {
    Duration age;
    TaskId task;
  };
  std::vector<Straggler> stragglers_;  // the oldest is last
  std::vector<SlaveEvent> events_;
};

}  // namespace knee::driver
