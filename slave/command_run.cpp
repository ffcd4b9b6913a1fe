#include "command_run.h"

#include <fcntl.h>
#include <signal.h>

#include "common/base/check.h"
#include "common/rpc/rpc_loop.h"
#include "proto/worker.capnp.h"
#include "slave/session.h"

namespace knee::slave {
namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kMostKept = std::size_t{16} * 1024 * 1024;

/// A file that was just written cannot be executed while any process has it open for writing, and a
/// keeper that is forked in that moment has, for about a millisecond.
constexpr unsigned kMostBusyStarts = 50;
constexpr auto kBusyStartDelay = 10 * kj::MILLISECONDS;

/// The bytes behind `fd` from their beginning, whoever has read them before.
UniqueFd reopen(int fd) {
  UniqueFd opened(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  if (opened) return opened;
  opened.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));  // there is no /proc
  if (!opened) throw_errno("cannot open the command's standard input");
  ::lseek(opened.get(), 0, SEEK_SET);
  return opened;
}

/// What the disk had to say before a command may start.
struct Prepared {
  std::optional<std::string> lacks;  ///< an input that was evicted before the command came
  std::string executable;
};

UniqueFd file_with(std::span<const std::byte> bytes) {
  const UniqueFd file = channel::SharedMemory::create_unmapped("knee-stdin", bytes.size());
  channel::write_at(file.get(), bytes, 0);
  return reopen(file.get());
}

/// None: /dev/null.
UniqueFd open_input(proto::Payload::Reader input, const ValueTable& values) {
  if (input.isValue()) {
    const auto* memory = values.argument(input.getValue());
    if (memory == nullptr) throw std::runtime_error("the command's standard input did not arrive");
    if (memory->capacity() == memory->bytes().size()) return reopen(memory->fd());
    return file_with(memory->bytes());  // the file ends where the input does
  }
  const auto bytes = input.getInline();
  if (bytes.size() == 0) return {};
  return file_with(std::as_bytes(std::span(bytes.begin(), bytes.size())));
}

}  // namespace

CommandRun::CommandRun(CommandRunOwner& owner, SlaveContext& slave, const ValueTable& values,
                       QueuedTask task, std::uint32_t slot)
    : owner_(owner), slave_(slave), values_(values), task_(std::move(task)), slot_(slot) {
  life_ = kj::evalLater([this] { return live(); })
              .catch_([this](kj::Exception&& error) {
                end_.how = cancelled_ ? CommandEnd::How::cancelled : CommandEnd::How::refused;
                end_.explanation = rpc::text_of(error);
              })
              .then([this] {
                keeper_readable_.reset();
                keeper_.reset();
                owner_.command_ended(*this, std::move(end_));
              })
              .eagerlyEvaluate(nullptr);
}

CommandRun::~CommandRun() {
  if (!folder_) return;
  folder_->abandon();
  // The job outlives this: nobody waits for its promise.
  auto removed = slave_.disk.run([folder = folder_] { folder->remove(); });
}

kj::Promise<void> CommandRun::live() {
  channel::RecordReader record(task_.record.bytes());
  try {
    const auto command = record.root<proto::ToWorker>().getTask().getCommand();
    order_ = std::make_shared<CommandOrder>(read_order(command));
    input_ = open_input(command.getStdin(), values_);
    if (order_->live_input) live_input_.emplace(slave_.io.unixEventPort);
    folder_ = std::make_shared<CommandFolder>(slave_.scratch);
  } catch (const std::exception& error) {
    return kj::Exception(kj::Exception::Type::FAILED, "", 0, kj::heapString(error.what()));
  }
  working_folder_ = order_->folder.empty() ? folder_->path() : order_->folder;
  return slave_.disk
      .run([folder = folder_, order = order_, &store = slave_.store, name = slave_.name,
            there = working_folder_] {
        Prepared prepared;
        prepared.lacks = folder->place(store, order->inputs);
        if (!prepared.lacks) prepared.executable = find_executable(*order, there, name);
        return prepared;
      })
      .then([this](Prepared prepared) -> kj::Promise<void> {
        if (!prepared.lacks) return run(std::move(prepared.executable));
        end_.how = cancelled_ ? CommandEnd::How::cancelled : CommandEnd::How::not_started;
        end_.explanation = "its input '" + *prepared.lacks + "' is not in the slave's store";
        return kj::READY_NOW;
      })
      .then([this] { return collect(); });
}

kj::Promise<void> CommandRun::run(std::string executable) {
  if (cancelled_) {
    end_.how = CommandEnd::How::cancelled;
    return kj::READY_NOW;
  }
  plan_.executable = std::move(executable);
  plan_.search_path = true;  // for a script without "#!", as a shell would
  plan_.arguments = order_->arguments;
  plan_.environment = order_->environment;
  plan_.cwd = working_folder_;
  plan_.open_files = slave_.open_files;
  start();
  return watch();
}

void CommandRun::start() {
  auto& port = slave_.io.unixEventPort;
  const auto cut = order_->live == proto::Command::Live::LINES ? OutputPipe::Cut::lines
                                                               : OutputPipe::Cut::anywhere;
  stdout_.emplace(
      port, [this](std::string text) { printed(false, std::move(text)); }, cut);
  stderr_.emplace(
      port, [this](std::string text) { printed(true, std::move(text)); }, cut);
  auto plan = plan_;
  if (input_) plan.descriptors.push_back({input_.get(), 0});
  if (live_input_) plan.descriptors.push_back({live_input_->reading_end(), 0});
  plan.descriptors.push_back({stdout_->writing_end(), 1});
  plan.descriptors.push_back({stderr_->writing_end(), 2});
  keeper_readable_.reset();
  try {
    keeper_.emplace(slave_.keepers.start(plan));
  } catch (const std::exception& error) {
    throw kj::Exception(kj::Exception::Type::FAILED, "", 0, kj::heapString(error.what()));
  }
  keeper_readable_.emplace(port, keeper_->control(), kj::UnixEventPort::FdObserver::OBSERVE_READ);
  stdout_->close_writing_end();
  stderr_->close_writing_end();
  const auto ignore = [](kj::Exception&&) {};
  const auto may_read = [this] { return owner_.may_read(); };
  stdout_watch_ = stdout_->pump(may_read).eagerlyEvaluate(ignore);
  stderr_watch_ = stderr_->pump(may_read).eagerlyEvaluate(ignore);
}

kj::Promise<void> CommandRun::watch() {
  auto readable = keeper_readable_->whenBecomesReadable();
  while (const auto news = keeper_->read_news()) {
    if (std::holds_alternative<process::Started>(*news)) {
      started_ = Clock::now();
      input_.reset();
      if (live_input_) live_input_->close_reading_end();
    } else if (const auto* failed = std::get_if<process::StartFailed>(&*news)) {
      if (failed->error == ETXTBSY && !cancelled_ && ++busy_starts_ < kMostBusyStarts) {
        return slave_.io.provider->getTimer().afterDelay(kBusyStartDelay).then([this] {
          stdout_watch_ = nullptr;
          stderr_watch_ = nullptr;
          start();
          return watch();
        });
      }
      start_failed(*failed);
      return kj::READY_NOW;
    } else if (const auto* record = std::get_if<process::DeathRecord>(&*news)) {
      died(*record);
      return kj::READY_NOW;
    } else if (std::holds_alternative<process::KeeperGone>(*news)) {
      end_.how = cancelled_ ? CommandEnd::How::cancelled : CommandEnd::How::crashed;
      end_.explanation = "its keeper process was killed";
      read_rest();
      return kj::READY_NOW;
    }
  }
  return readable.then([this] { return watch(); });
}

void CommandRun::start_failed(const process::StartFailed& failure) {
  end_.how = cancelled_ ? CommandEnd::How::cancelled : CommandEnd::How::refused;
  end_.explanation = "slave " + slave_.name + " " + failure.describe();
}

void CommandRun::died(const process::DeathRecord& record) {
  const auto now = Clock::now();
  end_.ran = running_for(now).value_or(nanoseconds(0));
  read_rest();
  end_.record = record;
  end_.explanation = record.describe();
  if (timed_out_) {
    end_.how = CommandEnd::How::timed_out;
  } else if (cancelled_) {
    end_.how = CommandEnd::How::cancelled;
  } else if (record.out_of_memory == process::OutOfMemory::yes) {
    end_.how = CommandEnd::How::out_of_memory;
  } else {
    end_.how = CommandEnd::How::ended;
  }
}

void CommandRun::read_rest() {
  stdout_watch_ = nullptr;
  stderr_watch_ = nullptr;
  for (auto* pipe : {&*stdout_, &*stderr_}) {
    while (pipe->drain() == OutputPipe::State::more) {
    }
    pipe->flush();
  }
  end_.stderr_tail = stderr_->tail();
}

kj::Promise<void> CommandRun::collect() {
  if (end_.how != CommandEnd::How::ended || order_->outputs.empty()) return kj::READY_NOW;
  return slave_.disk
      .run([folder = working_folder_, order = order_] {
        // Shared, since some of the threads' plumbing copies what it carries.
        return std::make_shared<CommandOutputs>(collect_outputs(folder, order->outputs));
      })
      .then([this](std::shared_ptr<CommandOutputs> outputs) { end_.outputs = std::move(*outputs); },
            [](kj::Exception&& error) {
              throw rpc::failure("the command has ended, but its outputs cannot be collected: " +
                                 rpc::text_of(error));
            });
}

void CommandRun::printed(bool error, std::string text) {
  if (order_->keep_output) keep(error ? end_.err : end_.out, text);
  if (order_->live != proto::Command::Live::NONE)
    owner_.command_printed(*this, error, std::move(text));
}

void CommandRun::keep(std::string& kept, const std::string& text) {
  const std::size_t room = kMostKept - kept.size();
  if (text.size() > room) end_.cut = true;
  kept.append(text, 0, room);
}

void CommandRun::cancel(nanoseconds grace) {
  if (std::exchange(cancelled_, true)) return;
  kill_at_ = Clock::now() + grace;
  signal(SIGTERM);
  // A stopped process does not take notice of anything else.
  signal(SIGCONT);
}

void CommandRun::signal(int number) {
  if (keeper_) keeper_->kill_worker(number);
}

kj::Promise<InputPipe::Answer> CommandRun::write_input(kj::Array<const kj::byte> bytes, bool end) {
  if (!live_input_) return InputPipe::Answer::closed;
  return live_input_->write(kj::mv(bytes), end);
}

void CommandRun::look(Clock::time_point now) {
  const auto ran = running_for(now);
  if (task_.timeout != 0 && ran && *ran > nanoseconds(task_.timeout)) {
    timed_out_ = !cancelled_;
    signal(SIGKILL);
  } else if (kill_at_ && now > *kill_at_) {
    signal(SIGKILL);
  }
}

void CommandRun::resume() {
  if (stdout_) stdout_->resume();
  if (stderr_) stderr_->resume();
}

std::optional<nanoseconds> CommandRun::running_for(Clock::time_point now) const {
  if (!started_) return std::nullopt;
  return now - *started_;
}

}  // namespace knee::slave
