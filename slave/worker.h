#pragma once
#include <kj/async-io.h>
#include <kj/async-unix.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/channel/slave_end.h"
#include "common/process/keeper.h"
#include "slave/output_pipe.h"
#include "slave/queued_task.h"
#include "slave/spare_memory.h"
#include "slave/working_folder.h"

namespace knee::slave {

class Worker;

/// Why the slave killed a worker.
enum class KillReason { none, timeout, cancelled, broken, session_ended, closed };

/// How a worker ended, as the session needs it.
struct WorkerDeath {
  std::optional<process::DeathRecord> record;  ///< none: it never started, or its keeper was killed
  std::string explanation;                     ///< one sentence, always
  std::string stderr_tail;
  bool served = false;  ///< it had come as far as to take tasks
  KillReason killed = KillReason::none;
  /// What had begun and has no outcome: one task, or more if its outcomes cannot be read.
  std::vector<QueuedTask> begun;
  std::chrono::nanoseconds ran{0};  ///< for how long the last of them
  std::vector<QueuedTask> unstarted;
};

/// What a worker tells the session that owns it. Called on the loop; none of them may destroy the
/// worker at once.
class WorkerOwner {
 public:
  /// `record`: a FromWorker with an outcome, in memory of our own. `value`: a large result.
  virtual void task_ended(Worker& worker, QueuedTask task, std::span<const std::byte> record,
                          std::optional<channel::SharedMemory> value) = 0;
  virtual void task_printed(Worker& worker, std::uint64_t task, bool error, std::string text) = 0;
  /// After a round of the above: time to give more.
  virtual void worker_progressed(Worker& worker) = 0;
  virtual void worker_died(Worker& worker, WorkerDeath death) = 0;
  /// Whether results and output may be taken in now; if not, `resume` comes later.
  virtual bool may_read() = 0;

 protected:
  ~WorkerOwner() = default;
};

/// One worker process: its keeper, its channel, its output. Destruction kills it and all it left.
class Worker {
 public:
  using Clock = std::chrono::steady_clock;

  /// Starts the process in `folder`, which is removed after it. `plan` says what to run;
  /// descriptors for the channel and output are added here. `setup`: the bytes of a proto::Setup.
  /// Throws what Keepers::start throws. The owner is told nothing before the loop's next turn.
  Worker(WorkerOwner& owner, process::Keepers& keepers, kj::UnixEventPort& port, std::uint32_t slot,
         WorkingFolder folder, process::SpawnPlan plan, std::span<const std::byte> setup);
  Worker(const Worker&) = delete;
  ~Worker();

  std::uint32_t slot() const { return slot_; }

  /// Puts a task behind those it has. False, and the task untouched: no room. Then `publish`.
  bool give(QueuedTask& task, std::chrono::nanoseconds estimate);
  /// Puts a record that is not a task. False: no room.
  bool tell(std::span<const std::byte> record);
  /// Whether `give` would find room for it. It stays so.
  bool has_room_for(const QueuedTask& task) const {
    return channel_.has_room(task.record.bytes().size());
  }
  /// Passes an argument's memfd, once, before the task that names it. False: no room.
  bool pass_value(std::uint64_t id, int memfd);
  /// Opens a line for a task with objects, once, before the task. False: no room. Throws if this
  /// process has no descriptors left.
  bool open_line(QueuedTask& task);
  /// Of what came before a task that has not begun and may go elsewhere.
  void forget_passed(QueuedTask& task);
  /// Lends memory for the result of the next task given, from which it comes back as spare, or as
  /// the result.
  void lend(SpareMemory& from, std::size_t size);
  /// Not much is lent to it.
  bool may_borrow() const { return loans_.size() < kMostLoans; }
  /// See SpareMemory::age. False: there is nothing left to free.
  bool age_loans();
  void publish() { channel_.publish(); }

  /// Takes back what has not begun, oldest first.
  std::vector<QueuedTask> take_back();

  bool idle() const { return tasks_ == 0; }
  /// The task that runs, or is the next to. None: it is idle.
  std::optional<std::uint64_t> first_task() const;
  /// Whether it was given that task, and it has not ended.
  bool has(std::uint64_t task) const;
  /// What it bootstraps on the line of that task; none: it has none, or runs another one.
  kj::Maybe<proto::TaskObjects::Client> objects_of(std::uint64_t task);
  /// Tasks given and not ended, the running one included.
  std::size_t tasks() const { return tasks_; }
  /// Of those, the ones that have not begun.
  std::size_t ahead() const;
  /// Estimated run time of all it has.
  std::chrono::nanoseconds backlog() const { return backlog_; }

  struct Running {
    const QueuedTask* task;
    std::chrono::nanoseconds elapsed;
    float progress;
    bool ended;  ///< its outcome waits for room
  };
  std::optional<Running> running() const;

  /// The task it has claimed and not answered, begun or not.
  std::optional<std::uint64_t> claimed_task() const;
  /// Tells that one to stop.
  void cancel_claimed() { channel_.cancel(channel_.claimed()); }
  /// Kills the process and all it left; `worker_died` follows.
  void kill(KillReason reason);
  /// To it and the processes of its group.
  void signal(int number) {
    if (!dead_) keeper_.kill_worker(number);
  }
  KillReason killed() const { return killed_; }
  /// Whether it may be given anything: it is not being killed and its end is not near.
  bool usable() const { return !gone_ && killed_ == KillReason::none; }

  /// The owner may read again.
  void resume();

  /// See SlaveEnd::bell_waits.
  bool bell_waits() const { return channel_.bell_waits(); }
  /// Takes in outcomes for which no bell has rung.
  void look();

  /// How many functions and shared values of the session's tables it has been told.
  std::size_t functions_told = 0;
  std::set<Digest> shared_told;
  /// It had no room for a task although it had none: not offered one before.
  Clock::time_point full_until{};
  /// Slots it holds while it has tasks.
  std::uint32_t holding = 0;
  /// The task it is told to stop, and when that will be killed. It is given nothing meanwhile.
  struct Deadline {
    std::uint64_t task;
    Clock::time_point at;
  };
  std::optional<Deadline> kill_at;

 private:
  struct Given {
    std::optional<QueuedTask> task;  ///< none: a record that is not a task
    std::chrono::nanoseconds estimate{0};
  };

  kj::Promise<void> watch_channel();
  kj::Promise<void> watch_keeper();
  /// Takes in values and outcomes. False: it has closed its channel.
  bool hear();
  void take_outcomes();
  void broken(const kj::Exception& error);
  channel::SharedMemory take_value(proto::Payload::Reader payload);
  void end_loans(std::uint32_t record);
  void take_outcome(std::span<const std::byte> record);
  void forget_told();
  void read_pipes_for(std::uint64_t task, std::uint32_t number);
  void printed(bool error, std::string text);
  void die(std::optional<process::DeathRecord> record, std::string explanation);

  WorkerOwner& owner_;
  kj::UnixEventPort& port_;
  std::uint32_t slot_;
  WorkingFolder folder_;  ///< goes after the keeper, which kills what runs there
  channel::SlaveEnd channel_;
  OutputPipe stdout_;
  OutputPipe stderr_;
  process::Keeper keeper_;
  kj::UnixEventPort::FdObserver channel_readable_;
  kj::UnixEventPort::FdObserver keeper_readable_;

  std::deque<Given> given_;
  std::uint32_t first_ = 0;  ///< number of the record before given_.front()
  std::size_t tasks_ = 0;
  std::chrono::nanoseconds backlog_{0};
  /// The task that runs and the one behind it.
  static constexpr std::size_t kMostLoans = 2;
  /// Memory the worker may put the result of a record in.
  struct Loan {
    SpareMemory* from;
    channel::SharedMemory memory;
    std::uint32_t record;
  };
  std::deque<Loan> loans_;          ///< in the order in which they were made
  std::set<std::uint64_t> passed_;  ///< arguments it has been passed, of tasks it has
  std::vector<std::uint64_t> scratch_;
  std::optional<std::uint64_t> printing_;
  std::string unusable_;
  bool served_ = false;
  bool dead_ = false;
  bool gone_ = false;    ///< it has closed its channel: news of its death will follow
  bool taking_ = false;  ///< outcomes: what is told of them may lead back here
  bool held_back_ = false;
  KillReason killed_ = KillReason::none;
  kj::Promise<void> channel_watch_ = nullptr;
  kj::Promise<void> keeper_watch_ = nullptr;
  kj::Promise<void> stdout_watch_ = nullptr;
  kj::Promise<void> stderr_watch_ = nullptr;
};

}  // namespace knee::slave
