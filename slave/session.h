#pragma once
#include <kj/async-io.h>
#include <kj/async-unix.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/process/keeper.h"
#include "proto/slave.capnp.h"
#include "slave/commands.h"
#include "slave/disk_pool.h"
#include "slave/fair_share.h"
#include "slave/home.h"
#include "slave/outbox.h"
#include "slave/queued_task.h"
#include "slave/run_time_estimates.h"
#include "slave/store/blob_store.h"
#include "slave/value_table.h"
#include "slave/worker.h"

namespace knee::slave {

/// How a session's workers are started; the same for all of them. Made by the program cache.
struct WorkerProgram {
  process::SpawnPlan plan;         ///< without channel, output and working folder
  std::vector<std::string> files;  ///< names of the program's files, as Setup wants them
};

/// What sessions of one slave have in common. Owned by the daemon, outlives them.
struct SlaveContext {
  std::string name;
  FairShare& slots;
  process::Keepers& keepers;
  kj::AsyncIoContext& io;
  DiskPool& disk;
  BlobStore& store;
  std::string scratch;          ///< folder for the working folders of workers and commands
  std::uint64_t open_files;     ///< soft limit of descriptors for what is started here
  std::function<void()> grant;  ///< slots may have become free, or wanted: look who is next
};

/// A row of the session's function table (proto::Function).
struct FunctionEntry {
  std::uint32_t file = 0;
  std::uint64_t offset = 0;
  std::string label;
};

/// One driver's tasks on this slave: the queue, the workers and commands that run, and what is to
/// be told back. Everything happens on the loop. Destruction kills the workers and frees the slots.
///
/// It does not know RPC: tasks come in by `accept`, answers are fetched from `outbox` when
/// `on_news` says so.
class Session final : public WorkerOwner, public CommandsOwner, public HomeOwner {
 public:
  /// `program` empty: only commands can run.
  Session(SlaveContext& slave, const std::string& identity, std::uint32_t slot_limit,
          std::optional<WorkerProgram> program);
  ~Session();
  Session(const Session&) = delete;

  /// Takes over what an exchange brought. `shared`: the files of `work.shared`.
  void accept(proto::Work::Reader work, std::map<Digest, std::string> shared);

  Outbox& outbox() { return outbox_; }
  ValueTable& values() { return values_; }
  /// Called when the outbox has something new; after the outbox was emptied call `resume`.
  std::function<void()> on_news;
  void resume();

  /// FairShare has granted what the session wanted.
  void granted();
  FairShare::Client client() const { return client_; }

  /// Sends a signal to a running command.
  void signal(std::uint64_t task, int number) { commands_.signal(task, number); }
  /// Goes on with the live standard input of a running command.
  kj::Promise<InputPipe::Answer> write_input(std::uint64_t task, kj::Array<const kj::byte> bytes,
                                             bool end) {
    return commands_.write_input(task, kj::mv(bytes), end);
  }

  /// The worker that runs this task with capabilities; none: none does.
  kj::Maybe<proto::TaskObjects::Client> worker_of(std::uint64_t task);

  /// Starts a process for objects: of that program, or of the session's. Throws, in words, if it
  /// cannot.
  std::shared_ptr<Home> open_home(const std::optional<WorkerProgram>& program = {});

  /// Starts nothing more; what is queued goes back. `busy` tells when nothing runs any more.
  void drain();
  bool busy() const;

 private:
  // WorkerOwner
  void task_ended(Worker& worker, QueuedTask task, std::span<const std::byte> record,
                  std::optional<channel::SharedMemory> value) override;
  void task_printed(Worker& worker, std::uint64_t task, bool error, std::string text) override;
  void worker_progressed(Worker& worker) override;
  void worker_died(Worker& worker, WorkerDeath death) override;
  bool may_read() override;

  // HomeOwner
  void home_printed(Home& home, bool error, std::string text) override;
  void home_ended(Home& home) override;

  // CommandsOwner
  void command_done(std::uint32_t cores) override;
  void news() override;

  bool has_value_of(const QueuedTask& task) const;
  void dispatch();
  static bool takes_tasks(const Worker& worker);
  /// Gives it what is queued, until it has that many tasks or enough work.
  void top_up(Worker& worker, std::size_t share);
  /// Of what is queued and what those have that take tasks.
  std::size_t share_of_a_worker() const;
  bool give_one(Worker& worker);
  bool prepare(Worker& worker, QueuedTask& task);
  void lend_memory(Worker& worker, const QueuedTask& task);
  void release_slots(Worker& worker);
  void release_idle();
  void want_slots();
  void ask_for_slots();
  bool rebalance();
  Worker* idle_worker();
  bool has_worker_for_call();
  bool is_any_full(Worker::Clock::time_point now) const;
  Worker& start_worker();
  std::unique_ptr<Worker> make_worker(WorkerOwner& owner, std::uint32_t slot,
                                      const std::optional<WorkerProgram>& program);
  void start_call(std::uint32_t cores);
  void cannot_start(const std::string& why);
  void start_command();
  /// A number that no process of this session has, from there on.
  std::uint32_t free_slot(std::uint32_t from = 0) const;
  void bury(Worker& worker);
  void bury_later();

  void take_back(std::uint32_t count);
  void cancel(capnp::List<std::uint64_t>::Reader ids, std::chrono::nanoseconds grace);
  /// Starts those of `awaited_` that have not begun, beside the slots if none is free.
  void start_awaited();
  bool start_awaited(std::uint64_t id);
  /// To the front of the queue.
  void put_back(std::vector<QueuedTask> tasks);
  void not_started(const QueuedTask& task, const std::string& why);
  void cancelled(const QueuedTask& task);
  void refuse(const QueuedTask& task, const std::string& why);
  void report_death(const QueuedTask& task, const WorkerDeath& death);
  void refuse_calls(const std::string& why);

  void start_aging();
  kj::Promise<void> age();
  void start_ticking();
  kj::Promise<void> tick();
  void look_round();
  void look_at(Worker& worker);
  /// Kills the worker for the sake of that task, unless it is through with it.
  void kill_if_at(Worker& worker, std::uint64_t task, KillReason reason);
  /// Takes in what workers have to say that would not ring yet, and tells it in one go.
  void look_at_workers();

  SlaveContext& slave_;
  std::optional<WorkerProgram> program_;
  FairShare::Client client_;
  Outbox outbox_;
  ValueTable values_;
  std::vector<FunctionEntry> functions_;
  std::map<Digest, std::string> shared_;  ///< files of the shared values
  InputPins inputs_{slave_.disk, slave_.store};
  RunTimeEstimates estimates_;
  /// Size of the last result of each function whose last result was large.
  std::unordered_map<std::uint32_t, std::size_t> large_results_;
  channel::RecordBuilder records_;

  std::deque<QueuedTask> queue_;
  /// Tasks that who holds slots may wait for, until they have ended or are gone.
  std::set<std::uint64_t> awaited_;
  std::uint32_t wanted_ = 0;  ///< slots asked of FairShare and not granted
  Commands commands_{*this, slave_, outbox_, values_};
  std::map<std::uint32_t, std::unique_ptr<Worker>> workers_;  ///< by slot number
  std::map<std::uint32_t, std::shared_ptr<Home>> homes_;      ///< by number, behind the slots'
  std::uint32_t failed_starts_ = 0;
  std::chrono::steady_clock::time_point start_again_{};  ///< no new worker before
  bool told_unready_ = false;  ///< that a task could not be handed on, which is said once
  bool draining_ = false;
  bool ticking_ = false;
  bool looking_ = false;
  bool aging_ = false;
  std::vector<std::unique_ptr<Worker>> dead_;      ///< until the loop has left their callbacks
  std::vector<std::shared_ptr<Home>> dead_homes_;  ///< as long
  kj::Promise<void> burial_ = nullptr;
  kj::Promise<void> ticker_ = nullptr;
  kj::Promise<void> aging_promise_ = nullptr;
  std::unordered_set<std::uint64_t> reported_;  ///< running tasks the driver was told of
};

}  // namespace knee::slave
