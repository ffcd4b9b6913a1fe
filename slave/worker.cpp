#include "worker.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "common/channel/worker_mark.h"
#include "common/rpc/rpc_loop.h"

namespace knee::slave {
namespace {

using std::chrono::nanoseconds;

/// Each costs the worker a descriptor, of which it may have no more than 1024.
constexpr std::size_t kMostPassed = 128;

/// The clock the worker stamps its starts with.
nanoseconds monotonic_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

proto::TaskObjects::Client bootstrapped(WorkerLine& line) {
  return line.bootstrap().castAs<proto::TaskObjects>();
}

}  // namespace

Worker::Worker(WorkerOwner& owner, process::Keepers& keepers, kj::UnixEventPort& port,
               std::uint32_t slot, WorkingFolder folder, process::SpawnPlan plan,
               std::span<const std::byte> setup)
    : owner_(owner),
      port_(port),
      slot_(slot),
      folder_(std::move(folder)),
      stdout_(port, [this](std::string text) { printed(false, std::move(text)); }),
      stderr_(port, [this](std::string text) { printed(true, std::move(text)); }),
      keeper_([&] {
        // It waits in the socket. Later there may be nobody any more whom it could be sent to: a
        // program can end at once, and that is for its keeper to tell.
        channel_.send_setup(setup);
        const UniqueFd socket = channel_.take_worker_socket();
        plan.cwd = folder_.path();
        plan.descriptors.push_back({stdout_.writing_end(), 1});
        plan.descriptors.push_back({stderr_.writing_end(), 2});
        plan.descriptors.push_back({socket.get(), channel::kWorkerSocket});
        plan.environment.push_back(std::string(channel::kWorkerMark) + "=" +
                                   channel::worker_mark(socket.get()));
        return keepers.start(plan);
      }()),
      channel_readable_(port, channel_.fd(), kj::UnixEventPort::FdObserver::OBSERVE_READ),
      keeper_readable_(port, keeper_.control(), kj::UnixEventPort::FdObserver::OBSERVE_READ) {
  stdout_.close_writing_end();
  stderr_.close_writing_end();
  channel_.sleep();
  const auto ignore = [](kj::Exception&&) {};
  // Later, when the owner knows of this worker: it may be dead already.
  channel_watch_ = kj::evalLater([this] {
                     return watch_channel();
                   }).eagerlyEvaluate([this](kj::Exception&& error) { broken(error); });
  keeper_watch_ = kj::evalLater([this] { return watch_keeper(); }).eagerlyEvaluate(ignore);
  const auto may_read = [this] { return owner_.may_read(); };
  stdout_watch_ = stdout_.pump(may_read).eagerlyEvaluate(ignore);
  stderr_watch_ = stderr_.pump(may_read).eagerlyEvaluate(ignore);
}

Worker::~Worker() {
  for (const auto& loan : loans_) loan.from->returned(loan.memory.capacity());
}

bool Worker::give(QueuedTask& task, nanoseconds estimate) {
  if (!channel_.offer(task.record.bytes())) return false;
  given_.push_back({std::move(task), estimate});
  ++tasks_;
  backlog_ += estimate;
  return true;
}

bool Worker::tell(std::span<const std::byte> record) {
  if (!channel_.offer(record)) return false;
  given_.push_back({});
  return true;
}

bool Worker::pass_value(std::uint64_t id, int memfd) {
  if (passed_.contains(id)) return true;
  if (passed_.size() >= kMostPassed) return false;
  try {
    if (!channel_.send_value(id, memfd)) return false;
  } catch (const std::system_error&) {
    gone_ = true;
    return false;
  }
  passed_.insert(id);
  return true;
}

bool Worker::open_line(QueuedTask& task) {
  auto line = kj::heap<WorkerLine>(port_);
  if (!pass_value(~task.id, line->take_worker_socket().get())) return false;
  task.line = kj::mv(line);
  auto request = bootstrapped(*task.line).lendRequest();
  auto objects = request.initObjects(static_cast<unsigned>(task.objects.size()));
  for (unsigned i = 0; i < objects.size(); ++i) objects.set(i, task.objects[i]);
  // Whether it arrives is for the worker to notice.
  request.send().detach([](kj::Exception&&) {});
  return true;
}

void Worker::lend(SpareMemory& from, std::size_t size) {
  auto memory = from.lend(size);
  if (!memory) return;
  if (channel_.lend(memory->fd())) {
    loans_.push_back({&from, std::move(*memory), channel_.offered() + 1});
  } else {
    from.returned(memory->capacity());
    from.keep(std::move(*memory));
  }
}

/// Of what was lent for records up to this one, nothing is used any more.
void Worker::end_loans(std::uint32_t record) {
  while (!loans_.empty() && static_cast<std::int32_t>(record - loans_.front().record) >= 0) {
    Loan loan = std::move(loans_.front());
    loans_.pop_front();
    loan.from->returned(loan.memory.capacity());
    loan.from->keep(std::move(loan.memory));
  }
}

bool Worker::age_loans() {
  // Those of an idle worker are of tasks that were taken back. A task that runs may be writing.
  if (!idle()) return !loans_.empty();
  for (const auto& loan : loans_) {
    loan.memory.discard();
    loan.from->returned(loan.memory.capacity());
  }
  loans_.clear();
  return false;
}

void Worker::forget_passed(QueuedTask& task) {
  if (task.value && passed_.erase(*task.value) != 0) channel_.forget_value(*task.value);
  if (task.line.get() == nullptr) return;
  task.line = nullptr;
  if (passed_.erase(~task.id) != 0) channel_.forget_value(~task.id);
}

std::vector<QueuedTask> Worker::take_back() {
  std::vector<QueuedTask> taken;
  // Fewer may be left than were not claimed: a worker that answers before it claims is about to be
  // killed.
  for (auto count = channel_.take_back(); count != 0 && !given_.empty(); --count) {
    auto& last = given_.back();
    if (last.task) {
      backlog_ -= last.estimate;
      --tasks_;
      forget_passed(*last.task);
      taken.push_back(std::move(*last.task));
    } else {
      functions_told = 0;
      shared_told.clear();
    }
    given_.pop_back();
  }
  std::reverse(taken.begin(), taken.end());
  return taken;
}

std::size_t Worker::ahead() const {
  const std::uint32_t unclaimed = channel_.offered() - channel_.claimed();
  return std::min<std::size_t>(unclaimed, tasks_);
}

std::optional<std::uint64_t> Worker::first_task() const {
  for (const auto& one : given_)
    if (one.task) return one.task->id;
  return std::nullopt;
}

bool Worker::has(std::uint64_t task) const {
  return std::any_of(given_.begin(), given_.end(),
                     [task](const Given& one) { return one.task && one.task->id == task; });
}

kj::Maybe<proto::TaskObjects::Client> Worker::objects_of(std::uint64_t task) {
  for (auto& one : given_) {
    if (!one.task) continue;
    if (one.task->id != task || one.task->line.get() == nullptr) break;
    return bootstrapped(*one.task->line);
  }
  return nullptr;
}

std::optional<Worker::Running> Worker::running() const {
  const std::uint32_t claimed = channel_.claimed();
  const std::uint32_t index = claimed - first_ - 1;
  const std::uint64_t started = channel_.started_at();
  if (started == 0 || index >= given_.size() || !given_[index].task) return std::nullopt;
  // The page says nothing that must be true, only what was.
  const auto elapsed = monotonic_now() - nanoseconds(started);
  return Running{&*given_[index].task, std::max(elapsed, nanoseconds(0)), channel_.progress(),
                 channel_.finished() == claimed};
}

std::optional<std::uint64_t> Worker::claimed_task() const {
  const std::uint32_t index = channel_.claimed() - first_ - 1;
  if (index >= given_.size() || !given_[index].task) return std::nullopt;
  return given_[index].task->id;
}

void Worker::kill(KillReason reason) {
  if (dead_) return;
  if (killed_ == KillReason::none) killed_ = reason;
  keeper_.kill_worker(SIGKILL);
}

void Worker::resume() {
  stdout_.resume();
  stderr_.resume();
  if (std::exchange(held_back_, false)) look();
}

void Worker::look() {
  if (dead_ || held_back_) return;
  const auto failed = kj::runCatchingExceptions([this] { hear(); });
  KJ_IF_MAYBE (error, failed) broken(*error);
}

void Worker::broken(const kj::Exception& error) {
  unusable_ = rpc::text_of(error);
  kill(KillReason::broken);
}

kj::Promise<void> Worker::watch_channel() {
  auto readable = channel_readable_.whenBecomesReadable();
  if (!hear()) return kj::READY_NOW;
  return readable.then([this] { return watch_channel(); });
}

bool Worker::hear() {
  // Of a worker that is held back the values stay in the socket, so that it has to wait as well.
  const bool open = held_back_ || channel_.listen();
  take_outcomes();
  if (!open) gone_ = true;  // the keeper says the rest
  return open;
}

void Worker::take_outcomes() {
  if (std::exchange(taking_, true)) return;
  KJ_DEFER(taking_ = false);
  bool any = false;
  do {
    if (!owner_.may_read()) {
      held_back_ = true;
      break;
    }
    while (const auto record = channel_.next_outcome()) {
      any = true;
      take_outcome(*record);
    }
    channel_.release_outcomes();
  } while (!channel_.sleep());
  if (any) owner_.worker_progressed(*this);
}

void Worker::take_outcome(std::span<const std::byte> record) {
  // A copy: what lies in the ring could change while it is parsed.
  scratch_.resize(record.size() / sizeof(capnp::word));
  KJ_REQUIRE(!scratch_.empty(), "the worker wrote an empty record");
  std::memcpy(scratch_.data(), record.data(), scratch_.size() * sizeof(capnp::word));
  const auto copy = std::as_bytes(std::span(scratch_));
  channel::RecordReader reader(copy);
  const auto root = reader.checked_root<proto::FromWorker>();
  switch (root.which()) {
    case proto::FromWorker::READY:
      KJ_REQUIRE(!served_, "the worker said twice that it is ready");
      served_ = true;
      return;
    case proto::FromWorker::UNUSABLE:
      unusable_ = root.getUnusable().cStr();
      return;
    case proto::FromWorker::OUTCOME:
      break;
    default:
      KJ_FAIL_REQUIRE("the worker wrote a record of a kind this knee-slave does not know");
  }
  served_ = true;
  forget_told();
  const auto outcome = root.getOutcome();
  KJ_REQUIRE(!given_.empty() && given_.front().task->id == outcome.getId() &&
                 channel_.claimed() - first_ != 0,
             "the worker answered a task it did not have");
  // All that can be wrong with it is found before the task is let go: else nobody would answer for
  // that.
  std::optional<channel::SharedMemory> value;
  if (outcome.isValue() && outcome.getValue().isValue()) {
    value = take_value(outcome.getValue());
  }
  const std::uint32_t number = ++first_;
  end_loans(number);
  QueuedTask task = std::move(*given_.front().task);
  backlog_ -= given_.front().estimate;
  given_.pop_front();
  --tasks_;
  // It may be an earlier one, of which no bell had rung when the next was told to stop.
  if (kill_at && kill_at->task == task.id) kill_at.reset();
  if (task.value) passed_.erase(*task.value);
  if (task.line.get() != nullptr) passed_.erase(~task.id);
  if (root.getPrinted()) read_pipes_for(task.id, number);
  owner_.task_ended(*this, std::move(task), copy, std::move(value));
}

channel::SharedMemory Worker::take_value(proto::Payload::Reader payload) {
  channel_.listen();
  auto passed = channel_.take_value(payload.getValue());
  KJ_REQUIRE(passed.has_value(), "the worker named a value it did not pass");
  const std::size_t size = payload.getSize();
  const auto lent = std::find_if(loans_.begin(), loans_.end(), [&](const Loan& loan) {
    return channel::is_same(loan.memory.fd(), passed->get()) && size <= loan.memory.capacity();
  });
  if (lent == loans_.end()) return channel::SharedMemory::map(std::move(*passed), size);
  // This process has it mapped already, with its pages.
  auto memory = std::move(lent->memory);
  lent->from->returned(memory.capacity());
  loans_.erase(lent);
  memory.resize(size);
  return memory;
}

void Worker::forget_told() {
  while (!given_.empty() && !given_.front().task) {
    given_.pop_front();
    ++first_;
  }
}

void Worker::read_pipes_for(std::uint64_t task, std::uint32_t number) {
  printing_ = task;
  stdout_.drain();
  stderr_.drain();
  // The line ends with its task, whatever the next one prints.
  stdout_.flush();
  stderr_.flush();
  printing_.reset();
  channel_.output_drained(number);
}

void Worker::printed(bool error, std::string text) {
  std::uint64_t task = 0;
  if (printing_) {
    task = *printing_;
  } else if (const auto current = running()) {
    task = current->task->id;
  }
  owner_.task_printed(*this, task, error, std::move(text));
}

kj::Promise<void> Worker::watch_keeper() {
  auto readable = keeper_readable_.whenBecomesReadable();
  while (const auto news = keeper_.read_news()) {
    if (const auto* failed = std::get_if<process::StartFailed>(&*news)) {
      die(std::nullopt, failed->describe());
      return kj::READY_NOW;
    }
    if (const auto* record = std::get_if<process::DeathRecord>(&*news)) {
      die(*record, record->describe());
      return kj::READY_NOW;
    }
    if (std::holds_alternative<process::KeeperGone>(*news)) {
      die(std::nullopt, "its keeper process was killed");
      return kj::READY_NOW;
    }
  }
  return readable.then([this] { return watch_keeper(); });
}

void Worker::die(std::optional<process::DeathRecord> record, std::string explanation) {
  dead_ = true;
  // What it finished before it died lies in the shared memory. A worker that wrote nonsense has no
  // more to say.
  const auto broken = kj::runCatchingExceptions([this] {
    while (const auto outcome = channel_.next_outcome()) take_outcome(*outcome);
  });
  KJ_IF_MAYBE (error, broken) {
    if (unusable_.empty()) unusable_ = rpc::text_of(*error);
  }
  for (auto* pipe : {&stdout_, &stderr_}) {
    while (pipe->drain() == OutputPipe::State::more) {
    }
    pipe->flush();
  }

  WorkerDeath death;
  death.record = record;
  death.explanation = unusable_.empty() ? explanation : unusable_ + "; " + explanation;
  death.stderr_tail = stderr_.tail();
  death.served = served_;
  death.killed = killed_;
  forget_told();
  if (const auto current = running()) death.ran = current->elapsed;
  const std::uint32_t claimed = channel_.claimed();
  // Between its claim and its beginning nothing of the last one has run.
  const bool last_began = channel_.started_at() != 0 || channel_.finished() == claimed;
  const std::uint32_t begun = last_began ? claimed : claimed - 1;
  std::uint32_t number = first_;
  for (auto& given : given_) {
    ++number;
    if (!given.task) continue;
    if (static_cast<std::int32_t>(begun - number) >= 0) {
      death.begun.push_back(std::move(*given.task));
    } else {
      given.task->line = nullptr;
      death.unstarted.push_back(std::move(*given.task));
    }
  }
  given_.clear();
  tasks_ = 0;
  backlog_ = nanoseconds(0);
  owner_.worker_died(*this, std::move(death));
}

}  // namespace knee::slave
