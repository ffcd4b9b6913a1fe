#pragma once
#include <kj/async.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "slave/command_run.h"
#include "slave/outbox.h"
#include "slave/value_table.h"

namespace knee::slave {

/// What the commands of a session need of it.
class CommandsOwner {
 public:
  /// A command has ended and been reported; its slots are free.
  virtual void command_done(std::uint32_t cores) = 0;
  /// Something was put into the outbox.
  virtual void news() = 0;
  virtual bool may_read() = 0;

 protected:
  ~CommandsOwner() = default;
};

/// The commands a session runs now. What they print and how they end goes to its outbox, large
/// outputs to its values; what cannot be told of a command's end is told to be so. Lives on the
/// loop; destruction kills them.
class Commands final : public CommandRunOwner {
 public:
  Commands(CommandsOwner& owner, SlaveContext& slave, Outbox& outbox, ValueTable& values)
      : owner_(owner), slave_(slave), outbox_(outbox), values_(values) {}

  /// Starts a command on slots that are the caller's; `command_done` gives them back, never before
  /// this returns.
  void start(QueuedTask task, std::uint32_t slot);

  /// False: it does not run.
  bool cancel(std::uint64_t task, std::chrono::nanoseconds grace);
  void signal(std::uint64_t task, int number);
  /// `closed` at once if it does not run.
  kj::Promise<InputPipe::Answer> write_input(std::uint64_t task, kj::Array<const kj::byte> bytes,
                                             bool end);

  /// Enforces limits and reports what has been running for long. To be called every few
  /// hundredths of a second.
  void look();
  void resume();

  bool busy() const { return !runs_.empty(); }
  bool uses_slot(std::uint32_t slot) const;
  bool runs(std::uint64_t task) const { return runs_.contains(task); }

 private:
  void command_printed(CommandRun& run, bool error, std::string text) override;
  void command_ended(CommandRun& run, CommandEnd end) override;
  bool may_read() override { return owner_.may_read(); }

  /// Throws when memory or descriptors for it are short; then nothing was reported.
  void report(const QueuedTask& task, CommandEnd end);
  void report_failure(const QueuedTask& task, std::chrono::nanoseconds ran, const std::string& why);

  CommandsOwner& owner_;
  SlaveContext& slave_;
  Outbox& outbox_;
  ValueTable& values_;
  std::map<std::uint64_t, std::unique_ptr<CommandRun>> runs_;  ///< by task
  std::vector<std::unique_ptr<CommandRun>> dead_;  ///< until the loop has left their callbacks
  kj::Promise<void> burial_ = nullptr;
};

}  // namespace knee::slave
