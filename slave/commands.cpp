#include "commands.h"

#include <algorithm>
#include <cstring>

#include "slave/death_report.h"
#include "slave/session.h"

namespace knee::slave {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// A command that runs longer is worth telling the driver about.
constexpr auto kLong = milliseconds(10);

/// What it printed travels in the outcome up to this size.
constexpr std::size_t kSmallText = std::size_t{64} * 1024;

kj::ArrayPtr<const kj::byte> bytes_of(const std::string& text) {
  return kj::arrayPtr(reinterpret_cast<const kj::byte*>(text.data()), text.size());
}

channel::SharedMemory memory_with(kj::ArrayPtr<const kj::byte> bytes) {
  auto memory = channel::SharedMemory::create("knee-value", bytes.size());
  std::memcpy(memory.bytes().data(), bytes.begin(), bytes.size());
  return memory;
}

/// Puts a command's result into its message, and what is long into the session's values. What is
/// there when this is destroyed without `keep` is dropped again: no driver would ever hear of it.
class ResultParts {
 public:
  explicit ResultParts(ValueTable& values) : values_(values) {}
  ~ResultParts() {
    for (const auto id : put_) values_.drop_result(id);
  }
  ResultParts(const ResultParts&) = delete;

  void fill(proto::CommandResult::Builder result, CommandEnd& end) {
    const auto& record = *end.record;
    result.setExitCode(record.signal == 0 ? record.exit_code : 128 + record.signal);
    result.setSignal(record.signal);
    auto files = result.initFiles(static_cast<unsigned>(end.outputs.files.size()));
    for (unsigned i = 0; i < files.size(); ++i) fill_file(files[i], end.outputs.files[i]);
    auto missing = result.initMissing(static_cast<unsigned>(end.outputs.missing.size()));
    for (unsigned i = 0; i < missing.size(); ++i) missing.set(i, end.outputs.missing[i]);
    fill_text(result.initStdout(), end.out);
    fill_text(result.initStderr(), end.err);
    result.setCut(end.cut);
  }
  void keep() { put_.clear(); }

 private:
  void fill_file(proto::OutputFile::Builder out, CommandOutput& file) {
    out.setName(file.name);
    out.setExecutable(file.executable);
    auto content = out.initContent();
    content.setSize(file.size);
    if (file.file)
      content.setValue(put(FileValue{std::move(file.file), file.size}));
    else
      content.setInline(bytes_of(file.content));
  }

  void fill_text(proto::Payload::Builder payload, const std::string& text) {
    payload.setSize(text.size());
    if (text.size() <= kSmallText)
      payload.setInline(bytes_of(text));
    else
      payload.setValue(put(memory_with(bytes_of(text))));
  }

  std::uint64_t put(ResultValue value) {
    return put_.emplace_back(values_.put_result(std::move(value)));
  }

  ValueTable& values_;
  std::vector<std::uint64_t> put_;
};

}  // namespace

void Commands::start(QueuedTask task, std::uint32_t slot) {
  const auto id = task.id;
  runs_[id] = std::make_unique<CommandRun>(*this, slave_, values_, std::move(task), slot);
}

bool Commands::cancel(std::uint64_t task, std::chrono::nanoseconds grace) {
  const auto found = runs_.find(task);
  if (found == runs_.end()) return false;
  found->second->cancel(grace);
  return true;
}

void Commands::signal(std::uint64_t task, int number) {
  const auto found = runs_.find(task);
  if (found != runs_.end()) found->second->signal(number);
}

kj::Promise<InputPipe::Answer> Commands::write_input(std::uint64_t task,
                                                     kj::Array<const kj::byte> bytes, bool end) {
  const auto found = runs_.find(task);
  if (found == runs_.end()) return InputPipe::Answer::closed;
  return found->second->write_input(kj::mv(bytes), end);
}

void Commands::look() {
  const auto now = Clock::now();
  for (auto& [id, run] : runs_) {
    run->look(now);
    const auto ran = run->running_for(now);
    if (ran && *ran > kLong && !std::exchange(run->reported, true))
      outbox_.add_started(id, run->task().attempt, static_cast<std::uint64_t>(ran->count()), -1);
  }
}

void Commands::resume() {
  for (auto& [id, run] : runs_) run->resume();
}

bool Commands::uses_slot(std::uint32_t slot) const {
  return std::any_of(runs_.begin(), runs_.end(),
                     [slot](const auto& run) { return run.second->slot() == slot; });
}

void Commands::command_printed(CommandRun& run, bool error, std::string text) {
  outbox_.add_output(run.task().id, run.slot(), error, std::move(text));
  owner_.news();
}

void Commands::command_ended(CommandRun& run, CommandEnd end) {
  const QueuedTask& task = run.task();
  const std::uint32_t cores = task.cores;
  const auto ran = end.ran;
  try {
    report(task, std::move(end));
  } catch (const std::exception& error) {
    // The session waits for the command until it is reported, and so do its slots.
    report_failure(task, ran, error.what());
  }
  if (task.value) values_.drop_argument(*task.value);
  const auto found = runs_.find(task.id);
  dead_.push_back(std::move(found->second));
  runs_.erase(found);
  burial_ = kj::evalLater([this] { dead_.clear(); }).eagerlyEvaluate(nullptr);
  owner_.command_done(cores);
}

void Commands::report(const QueuedTask& task, CommandEnd end) {
  using How = CommandEnd::How;
  const DeathFacts facts{end.record, end.explanation, end.stderr_tail};
  ResultParts parts(values_);
  outbox_.add_long_outcome([&](proto::Outcome::Builder outcome) {
    outcome.setId(task.id);
    outcome.setAttempt(task.attempt);
    outcome.setRunTime(static_cast<std::uint64_t>(end.ran.count()));
    switch (end.how) {
      case How::ended:
        fill_death(outcome.initCommandEnded().initDeath(), facts);
        return parts.fill(outcome.getCommandEnded(), end);
      case How::timed_out:
        return fill_death(outcome.initTimedOut(), facts);
      case How::cancelled:
        return outcome.setCancelled();
      case How::out_of_memory:
        return fill_death(outcome.initOutOfMemory(), facts);
      case How::crashed:
        return fill_death(outcome.initCrashed(), facts);
      case How::refused:
        return outcome.setRefused(end.explanation);
      case How::not_started:
        return outcome.setNotStarted(end.explanation);
    }
  });
  parts.keep();
}

void Commands::report_failure(const QueuedTask& task, std::chrono::nanoseconds ran,
                              const std::string& why) {
  outbox_.add_outcome([&](proto::Outcome::Builder outcome) {
    outcome.setId(task.id);
    outcome.setAttempt(task.attempt);
    outcome.setRunTime(static_cast<std::uint64_t>(ran.count()));
    outcome.setRefused("the command has ended, but its result cannot be reported: " + why);
  });
}

}  // namespace knee::slave
