#include "session.h"

#include <algorithm>

#include "slave/worker_setup.h"

namespace knee::slave {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// Work a worker holds. It is looked after when most of that is done: enough to make a wake-up
/// worth its price. No loss when a slot is wanted elsewhere: what has not begun can be taken back.
constexpr nanoseconds kWorkAhead = milliseconds(16);
constexpr std::size_t kTasksAhead = 2048;

/// How often running tasks are looked at: time limits, progress, tasks stuck behind a long one,
/// results of workers whose bell waits.
constexpr auto kTick = 10 * kj::MILLISECONDS;
/// Memory of large values that has not been wanted for this long, or up to twice as long, is freed.
constexpr auto kSpareTime = 1 * kj::SECONDS;
/// A task that runs longer is worth telling the driver about.
constexpr nanoseconds kLong = milliseconds(10);

/// Tasks that run for longer get no memory for their results before they have any.
constexpr nanoseconds kLongestLoan = std::chrono::seconds(1);

/// Results and output kept for a driver that does not fetch them, before workers have to wait.
constexpr std::size_t kMostWaiting = std::size_t{4} * 1024 * 1024;
constexpr std::size_t kMostValueBytes = std::size_t{64} * 1024 * 1024;

/// Workers that die before they serve, in a row, before the session gives up on its program.
constexpr std::uint32_t kMostFailedStarts = 3;
/// After the machine has refused a process, before it is asked for one again.
constexpr auto kStartAgain = std::chrono::seconds(1);
/// After an idle worker had no room for a task, before it is offered one again.
constexpr auto kGiveAgain = milliseconds(10);

}  // namespace

Session::Session(SlaveContext& slave, const std::string& identity, std::uint32_t slot_limit,
                 std::optional<WorkerProgram> program)
    : slave_(slave), program_(std::move(program)), client_(slave.slots.add(identity, slot_limit)) {
  outbox_.set_slots(slave_.slots.limit(client_));
  values_.on_spare = [this] { start_aging(); };
}

Session::~Session() {
  workers_.clear();
  dead_.clear();
  slave_.slots.remove(client_, Clock::now());
  slave_.grant();
}

void Session::accept(proto::Work::Reader work, std::map<Digest, std::string> shared) {
  for (const auto function : work.getFunctions())
    functions_.push_back({function.getFile(), function.getOffset(), function.getLabel().cStr()});
  shared_.merge(shared);
  for (const auto task : work.getTasks()) {
    auto queued = queue_task(task, records_);
    if (!queued) {
      QueuedTask unreadable;
      unreadable.id = task.getId();
      unreadable.attempt = task.getAttempt();
      refuse(unreadable, "its arguments are too long to travel with the task");
    } else if (queued->cores == 0 || queued->cores > slave_.slots.limit(client_)) {
      refuse(*queued, "it wants " + std::to_string(queued->cores) + " slots and this slave has " +
                          std::to_string(slave_.slots.limit(client_)) + " for it");
    } else if (!has_value_of(*queued)) {
      refuse(*queued, "its argument is not here, or not as long as it says");
    } else if (draining_) {
      not_started(*queued, "the slave is draining");
    } else {
      queued->holds = inputs_.hold(queued->inputs);
      queue_.push_back(std::move(*queued));
    }
  }
  cancel(work.getCancel(), nanoseconds(work.getCancelGrace()));
  for (const auto id : work.getDropValues()) values_.drop_result(id);
  if (work.getTakeBack() != 0) take_back(work.getTakeBack());
  dispatch();
  news();
  resume();  // dropped values have made room
}

bool Session::has_value_of(const QueuedTask& task) const {
  if (!task.value) return true;
  const auto* memory = values_.argument(*task.value);
  return memory != nullptr && memory->bytes().size() == task.value_size;
}

void Session::resume() {
  if (!may_read()) return;
  for (auto& [slot, worker] : workers_) worker->resume();
  commands_.resume();
}

bool Session::may_read() {
  return outbox_.bytes() < kMostWaiting && values_.result_bytes() < kMostValueBytes;
}

// --- giving out tasks

void Session::dispatch() {
  release_idle();
  want_slots();
  for (auto& [slot, worker] : workers_)
    if (!worker->idle()) top_up(*worker);
  if (queue_.empty()) rebalance();
  release_idle();
  want_slots();
  if (busy()) start_ticking();
}

void Session::want_slots() {
  ask_for_slots();
  if (wanted_ != 0) slave_.grant();
}

void Session::ask_for_slots() {
  const auto may_start_one = [&] {
    if (queue_.empty()) return false;
    if (queue_.front().is_command) return true;
    if (idle_worker() != nullptr) return true;
    const auto now = Clock::now();
    return now >= start_again_ && !is_any_full(now);
  };
  const bool may_start = may_start_one();
  wanted_ = may_start ? queue_.front().cores : 0;
  slave_.slots.want(client_, wanted_);
}

void Session::granted() {
  const std::uint32_t cores = std::exchange(wanted_, 0);
  if (queue_.empty() || queue_.front().cores != cores) {
    slave_.slots.give_back(client_, cores, Clock::now());  // the queue has changed since
  } else if (queue_.front().is_command) {
    start_command();
  } else {
    start_call(cores);
  }
  ask_for_slots();
}

void Session::start_call(std::uint32_t cores) {
  Worker* worker = idle_worker();
  try {
    if (worker == nullptr) worker = &start_worker();
  } catch (const std::exception& error) {
    slave_.slots.give_back(client_, cores, Clock::now());
    return cannot_start(error.what());
  }
  worker->holding = cores;
  if (!give_one(*worker)) {
    // It has not read what it was passed before. To ask for a slot at once would be answered at
    // once, for ever.
    worker->full_until = Clock::now() + kGiveAgain;
    start_ticking();
  }
  worker->publish();
  if (worker->idle()) release_slots(*worker);
}

void Session::cannot_start(const std::string& why) {
  const std::string text = "this slave cannot start a worker: " + why;
  if (workers_.empty()) {
    refuse_calls(text);
  } else {
    // Those that run go on, and take what is queued.
    start_again_ = Clock::now() + kStartAgain;
    outbox_.add_note(text + "; it goes on with " + std::to_string(workers_.size()));
  }
  news();
}

Worker* Session::idle_worker() {
  const auto now = Clock::now();
  for (auto& [slot, worker] : workers_)
    if (worker->idle() && worker->holding == 0 && worker->usable() && now >= worker->full_until)
      return worker.get();
  return nullptr;
}

bool Session::is_any_full(Clock::time_point now) const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [now](const auto& worker) { return now < worker.second->full_until; });
}

Worker& Session::start_worker() {
  if (!program_) throw std::runtime_error("the session was opened without a program");
  const std::uint32_t slot = free_slot();
  const auto setup = worker_setup(slave_.name, slot, program_->files, records_);
  auto plan = program_->plan;
  plan.open_files = slave_.open_files;
  WorkingFolder folder(slave_.disk, slave_.scratch, "worker" + std::to_string(slot));
  auto worker = std::make_unique<Worker>(*this, slave_.keepers, slave_.io.unixEventPort, slot,
                                         std::move(folder), plan, setup);
  return *workers_.emplace(slot, std::move(worker)).first->second;
}

void Session::start_command() {
  QueuedTask task = std::move(queue_.front());
  queue_.pop_front();
  commands_.start(std::move(task), free_slot());
  start_ticking();
}

std::uint32_t Session::free_slot() const {
  std::uint32_t slot = 0;
  while (workers_.contains(slot) || commands_.uses_slot(slot)) ++slot;
  return slot;
}

void Session::command_done(std::uint32_t cores) {
  slave_.slots.give_back(client_, cores, Clock::now());
  dispatch();
  slave_.grant();
  news();
}

void Session::top_up(Worker& worker) {
  if (!worker.usable() || worker.kill_at) return;
  if (slave_.slots.should_yield(client_, Clock::now())) {
    put_back(worker.take_back());
    return;
  }
  while (!queue_.empty() && !queue_.front().is_command && queue_.front().cores == worker.holding &&
         worker.tasks() < kTasksAhead && may_read() &&
         (worker.tasks() < 2 || worker.backlog() < kWorkAhead)) {
    if (!give_one(worker)) break;
  }
  worker.publish();
}

bool Session::give_one(Worker& worker) {
  QueuedTask& task = queue_.front();
  if (!prepare(worker, task)) return false;
  lend_memory(worker, task);
  if (!worker.give(task, estimates_.of(task.function))) return false;
  queue_.pop_front();
  return true;
}

/// A function whose last result was large will likely have another one.
void Session::lend_memory(Worker& worker, const QueuedTask& task) {
  const auto found = large_results_.find(task.function);
  if (found == large_results_.end() || !worker.may_borrow()) return;
  const std::size_t size = found->second;
  if (estimates_.of(task.function) > kLongestLoan) return;
  worker.lend(values_.spare_results(), size);
  start_aging();
}

bool Session::prepare(Worker& worker, const QueuedTask& task) {
  while (worker.functions_told < functions_.size() && worker.functions_told <= task.function) {
    const auto record = function_record(functions_, worker.functions_told, records_);
    if (!worker.tell(record.bytes)) return false;
    worker.functions_told = record.next;
  }
  for (const auto& digest : task.shared) {
    const auto found = shared_.find(digest);
    if (found == shared_.end() || worker.shared_told.contains(digest)) continue;
    if (!worker.tell(shared_record(digest, found->second, records_))) return false;
    worker.shared_told.insert(digest);
  }
  // Last: a value that was passed is of no use if its task finds no room.
  if (!worker.has_room_for(task)) return false;
  if (!task.value) return true;
  const auto* memory = values_.argument(*task.value);
  return memory == nullptr || worker.pass_value(*task.value, memory->fd());
}

void Session::release_slots(Worker& worker) {
  const std::uint32_t cores = std::exchange(worker.holding, 0);
  if (cores == 0) return;
  slave_.slots.give_back(client_, cores, Clock::now());
  slave_.grant();
}

/// A worker that has begun nothing yet, as one that is starting, may lose all it has to
/// `take_back`: no outcome of it will ever free its slots.
void Session::release_idle() {
  for (auto& [slot, worker] : workers_)
    if (worker->idle()) release_slots(*worker);
}

bool Session::rebalance() {
  // Tasks that wait behind a busy worker's task, while slots are free.
  if (slave_.slots.busy() == slave_.slots.slots()) return false;
  bool any = false;
  for (auto& [slot, worker] : workers_) {
    if (!worker->usable()) continue;
    const auto current = worker->running();
    const bool first_waits = !current;
    if (worker->ahead() <= (first_waits ? 1U : 0U)) continue;
    if (current && worker->backlog() < milliseconds(1) && current->elapsed < milliseconds(1))
      continue;
    put_back(worker->take_back());
    // It may have begun them all meanwhile.
    if (first_waits && !queue_.empty() && give_one(*worker)) worker->publish();
    any = true;
    break;
  }
  return any;
}

// --- memory of large values

void Session::start_aging() {
  if (std::exchange(aging_, true)) return;
  aging_promise_ = age().eagerlyEvaluate(nullptr);
}

kj::Promise<void> Session::age() {
  return slave_.io.provider->getTimer().afterDelay(kSpareTime).then([this]() -> kj::Promise<void> {
    bool more = values_.age_spare();
    for (auto& [slot, worker] : workers_) more |= worker->age_loans();
    if (more) return age();
    aging_ = false;
    return kj::READY_NOW;
  });
}

// --- what workers say

void Session::task_ended(Worker&, QueuedTask task, std::span<const std::byte> record,
                         std::optional<channel::SharedMemory> value) {
  failed_starts_ = 0;
  channel::RecordReader reader(record);
  estimates_.add(task.function,
                 nanoseconds(reader.root<proto::FromWorker>().getOutcome().getRunTime()));
  reported_.erase(task.id);
  if (task.value) values_.drop_argument(*task.value);
  std::optional<Outbox::Value> large;
  if (!value) {
    if (!large_results_.empty()) large_results_.erase(task.function);
  } else {
    const std::size_t bytes = value->bytes().size();
    large_results_[task.function] = bytes;
    large = {values_.put_result(std::move(*value)), bytes};
  }
  outbox_.add_record(record, large);
}

void Session::task_printed(Worker& worker, std::uint64_t task, bool error, std::string text) {
  outbox_.add_output(task, worker.slot(), error, std::move(text));
  news();
}

void Session::worker_progressed(Worker& worker) {
  top_up(worker);
  if (worker.idle()) release_slots(worker);
  if (queue_.empty() && slave_.slots.busy() < slave_.slots.slots() && rebalance()) want_slots();
  look_at_workers();
}

void Session::look_at_workers() {
  if (std::exchange(looking_, true)) return;
  for (auto& [slot, worker] : workers_)
    if (worker->bell_waits()) worker->look();
  looking_ = false;
  news();
}

void Session::worker_died(Worker& worker, WorkerDeath death) {
  if (death.running) {
    report_death(*death.running, death);
    reported_.erase(death.running->id);
    if (death.running->value) values_.drop_argument(*death.running->value);
  }
  const bool by_itself = death.killed == KillReason::none || death.killed == KillReason::broken;
  if (!death.served && by_itself) {
    ++failed_starts_;
    const std::string why = "a worker ended before it served: " + death.explanation +
                            (death.stderr_tail.empty() ? "" : "\n" + death.stderr_tail);
    outbox_.add_note(why);
    if (failed_starts_ >= kMostFailedStarts) {
      for (auto& task : death.unstarted) queue_.push_back(std::move(task));
      death.unstarted.clear();
      refuse_calls(why);
    }
  }
  put_back(std::move(death.unstarted));
  const std::uint32_t cores = std::exchange(worker.holding, 0);
  slave_.slots.give_back(client_, cores, Clock::now());
  bury(worker);
  dispatch();
  slave_.grant();
  news();
}

void Session::bury(Worker& worker) {
  const auto found = workers_.find(worker.slot());
  dead_.push_back(std::move(found->second));
  workers_.erase(found);
  burial_ = kj::evalLater([this] { dead_.clear(); }).eagerlyEvaluate(nullptr);
}

// --- taking back, cancelling, draining

void Session::take_back(std::uint32_t count) {
  const auto give_back_youngest = [&] {
    for (; count != 0 && !queue_.empty(); --count) {
      not_started(queue_.back(), "taken back");
      queue_.pop_back();
    }
  };
  give_back_youngest();
  for (auto& [slot, worker] : workers_) {
    if (count == 0) break;
    if (!worker->running()) continue;  // it is about to begin what it has
    for (auto& task : worker->take_back()) queue_.push_back(std::move(task));
    give_back_youngest();
  }
  outbox_.set_take_back_answered();
}

void Session::cancel(capnp::List<std::uint64_t>::Reader ids, nanoseconds grace) {
  if (ids.size() == 0) return;
  std::unordered_set<std::uint64_t> unwanted(ids.begin(), ids.end());
  // With nothing left to claim, each task is either in the queue, or claimed, or has just ended.
  for (auto& [slot, worker] : workers_) {
    put_back(worker->take_back());
    const auto claimed = worker->claimed_task();
    if (!claimed || unwanted.erase(*claimed) == 0) continue;
    worker->cancel_claimed();
    worker->kill_at = {*claimed, Clock::now() + grace};
  }
  std::erase_if(unwanted, [&](std::uint64_t id) { return commands_.cancel(id, grace); });
  std::erase_if(queue_, [&](const QueuedTask& task) {
    if (unwanted.erase(task.id) == 0) return false;
    cancelled(task);
    return true;
  });
  // Some will never come, but what was to go before them may be here.
  for (const auto id : unwanted) values_.drop_argument(id);
}

void Session::put_back(std::vector<QueuedTask> tasks) {
  queue_.insert(queue_.begin(), std::move_iterator(tasks.begin()), std::move_iterator(tasks.end()));
}

void Session::drain() {
  draining_ = true;
  outbox_.set_draining();
  for (auto& [slot, worker] : workers_)
    for (auto& task : worker->take_back()) queue_.push_back(std::move(task));
  for (const auto& task : queue_) not_started(task, "the slave is draining");
  queue_.clear();
  want_slots();
  news();
}

bool Session::busy() const {
  return !queue_.empty() || commands_.busy() ||
         std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& w) { return !w.second->idle(); });
}

// --- looking at what runs

void Session::start_ticking() {
  if (std::exchange(ticking_, true)) return;
  ticker_ = tick().eagerlyEvaluate(nullptr);
}

kj::Promise<void> Session::tick() {
  return slave_.io.provider->getTimer().afterDelay(kTick).then([this]() -> kj::Promise<void> {
    const auto failed = kj::runCatchingExceptions([this] { look_round(); });
    KJ_IF_MAYBE (error, failed) outbox_.add_note(rpc::text_of(*error));
    if (busy()) return tick();
    ticking_ = false;
    return kj::READY_NOW;
  });
}

void Session::look_round() {
  for (auto& [slot, worker] : workers_) look_at(*worker);
  commands_.look();
  dispatch();
  look_at_workers();
}

void Session::look_at(Worker& worker) {
  const auto current = worker.running();
  if (!current) return;
  const QueuedTask& task = *current->task;
  if (task.timeout != 0 && current->elapsed > nanoseconds(task.timeout)) {
    kill_if_at(worker, task.id, KillReason::timeout);
  } else if (worker.kill_at && Clock::now() > worker.kill_at->at) {
    kill_if_at(worker, task.id, KillReason::cancelled);
  } else if (current->elapsed > kLong) {
    const bool told = !reported_.insert(task.id).second;
    if (!told || current->progress >= 0)
      outbox_.add_started(task.id, task.attempt,
                          static_cast<std::uint64_t>(current->elapsed.count()), current->progress);
  }
}

void Session::kill_if_at(Worker& worker, std::uint64_t task, KillReason reason) {
  // With nothing left to claim, the next task cannot be what is hit.
  put_back(worker.take_back());
  if (worker.claimed_task() == task) worker.kill(reason);
}

void Session::news() {
  if (on_news && !outbox_.empty()) on_news();
}

}  // namespace knee::slave
