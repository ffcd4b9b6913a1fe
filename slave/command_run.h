#pragma once
#include <kj/async-io.h>
#include <kj/async-unix.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "common/process/keeper.h"
#include "slave/command_folder.h"
#include "slave/command_order.h"
#include "slave/input_pipe.h"
#include "slave/output_pipe.h"
#include "slave/queued_task.h"
#include "slave/value_table.h"

namespace knee::slave {

class CommandRun;
struct SlaveContext;

/// How a command ended.
struct CommandEnd {
  enum class How { ended, timed_out, cancelled, out_of_memory, crashed, refused, not_started };
  How how = How::crashed;
  std::optional<process::DeathRecord> record;  ///< none: it never ran, or its keeper was killed
  std::string explanation;                     ///< one sentence, always
  std::string stderr_tail;
  std::chrono::nanoseconds ran{0};
  CommandOutputs outputs;  ///< only if it `ended`
  std::string out;         ///< what it printed, if that is to be kept
  std::string err;
  bool cut = false;  ///< it printed more than is kept
};

/// What a running command tells its owner. Called on the loop; none may destroy the run at once.
class CommandRunOwner {
 public:
  virtual void command_printed(CommandRun& run, bool error, std::string text) = 0;
  /// The last word. Must not throw: nobody would hear of it.
  virtual void command_ended(CommandRun& run, CommandEnd end) = 0;
  /// Whether output may be taken in now; if not, `resume` comes later.
  virtual bool may_read() = 0;

 protected:
  ~CommandRunOwner() = default;
};

/// One command from the placing of its inputs to the collecting of its outputs. Lives on the loop;
/// what blocks is done on the disk pool. Destruction kills it and all it left, and removes its
/// folder.
class CommandRun {
 public:
  using Clock = std::chrono::steady_clock;

  /// `values`: where a long standard input is. What is wrong with the command comes as its end.
  CommandRun(CommandRunOwner& owner, SlaveContext& slave, const ValueTable& values, QueuedTask task,
             std::uint32_t slot);
  CommandRun(const CommandRun&) = delete;
  ~CommandRun();

  const QueuedTask& task() const { return task_; }
  std::uint32_t slot() const { return slot_; }

  /// SIGTERM now, SIGKILL to all it started after `grace`.
  void cancel(std::chrono::nanoseconds grace);
  /// To it and the processes of its group. Nothing happens if it does not run.
  void signal(int number);
  /// Goes on with a live standard input (InputPipe::write). `closed` at once if it has none now.
  kj::Promise<InputPipe::Answer> write_input(kj::Array<const kj::byte> bytes, bool end);
  /// Enforces the time limit and the grace. To be called every few hundredths of a second.
  void look(Clock::time_point now);
  /// The owner may read again.
  void resume();

  /// For how long it has been running; none: it has not started.
  std::optional<std::chrono::nanoseconds> running_for(Clock::time_point now) const;

  /// The owner's: the driver was told that it runs.
  bool reported = false;

 private:
  kj::Promise<void> live();
  kj::Promise<void> run(std::string executable);
  kj::Promise<void> watch();
  kj::Promise<void> collect();
  void start();
  void start_failed(const process::StartFailed& failure);
  void died(const process::DeathRecord& record);
  void read_rest();
  void printed(bool error, std::string text);
  void keep(std::string& kept, const std::string& text);

  CommandRunOwner& owner_;
  SlaveContext& slave_;
  const ValueTable& values_;
  QueuedTask task_;
  std::uint32_t slot_;
  UniqueFd input_;
  std::optional<InputPipe> live_input_;
  std::shared_ptr<CommandFolder> folder_;
  std::shared_ptr<CommandOrder> order_;
  std::string working_folder_;
  process::SpawnPlan plan_;
  std::optional<OutputPipe> stdout_;
  std::optional<OutputPipe> stderr_;
  std::optional<process::Keeper> keeper_;
  std::optional<kj::UnixEventPort::FdObserver> keeper_readable_;
  std::optional<Clock::time_point> started_;
  std::optional<Clock::time_point> kill_at_;
  unsigned busy_starts_ = 0;
  bool cancelled_ = false;
  bool timed_out_ = false;
  CommandEnd end_;
  kj::Promise<void> stdout_watch_ = nullptr;
  kj::Promise<void> stderr_watch_ = nullptr;
  kj::Promise<void> life_ = nullptr;
};

}  // namespace knee::slave
