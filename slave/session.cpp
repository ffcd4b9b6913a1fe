#include "session.h"

#include <algorithm>

namespace knee::slave {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// How often running tasks are looked at: time limits, progress, tasks stuck behind a long one,
/// results of workers whose bell waits.
constexpr auto kTick = 20 * kj::MILLISECONDS;
/// A task that runs longer is worth telling the driver about.
constexpr nanoseconds kLong = milliseconds(10);

/// Results and output kept for a driver that does not fetch them, before workers have to wait.
constexpr std::size_t kMostWaiting = std::size_t{4} * 1024 * 1024;
constexpr std::size_t kMostValueBytes = std::size_t{64} * 1024 * 1024;

/// Workers that die before they serve, in a row, before the session gives up on its program.
constexpr std::uint32_t kMostFailedStarts = 3;

}  // namespace

Session::Session(SlaveContext& slave, const std::string& identity, std::uint32_t slot_limit,
                 std::optional<WorkerProgram> program)
    : slave_(slave), program_(std::move(program)), client_(slave.slots.add(identity, slot_limit)) {
  outbox_.set_slots(slave_.slots.limit(client_));
  values_.on_spare = [this] { start_aging(); };
}

Session::~Session() {
  for (auto& [slot, home] : homes_) home->end();
  homes_.clear();
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
  for (const auto id : work.getAwaited()) awaited_.insert(id);
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
  for (auto& [slot, home] : homes_) home->resume();
  commands_.resume();
}

bool Session::may_read() {
  return outbox_.bytes() < kMostWaiting && values_.result_bytes() < kMostValueBytes;
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
  top_up(worker, share_of_a_worker());
  if (worker.idle()) release_slots(worker);
  const bool slots_are_free = slave_.slots.busy() < slave_.slots.slots();
  const bool gave_back = queue_.empty() && slots_are_free && rebalance();
  // Also what went back to the queue for another session's sake waits for a slot again.
  if (gave_back || (!queue_.empty() && wanted_ == 0)) want_slots();
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
  for (const auto& task : death.begun) {
    report_death(task, death);
    reported_.erase(task.id);
    if (task.value) values_.drop_argument(*task.value);
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
  bury_later();
}

void Session::bury_later() {
  burial_ = kj::evalLater([this] {
              dead_.clear();
              dead_homes_.clear();
            }).eagerlyEvaluate(nullptr);
}

// --- objects

kj::Maybe<proto::TaskObjects::Client> Session::worker_of(std::uint64_t task) {
  for (auto& [slot, worker] : workers_)
    KJ_IF_MAYBE (objects, worker->objects_of(task)) return kj::mv(*objects);
  return nullptr;
}

std::shared_ptr<Home> Session::open_home(const std::optional<WorkerProgram>& program) {
  if (draining_) throw std::runtime_error("the slave is draining and starts nothing more");
  const std::uint32_t slot = free_slot(slave_.slots.slots());
  auto home = std::make_shared<Home>(
      *this, slave_.io.unixEventPort, slot,
      [&](WorkerOwner& owner, std::uint32_t number) {
        return make_worker(owner, number, program ? program : program_);
      },
      records_);
  homes_.emplace(slot, home);
  return home;
}

void Session::home_printed(Home& home, bool error, std::string text) {
  outbox_.add_output(0, home.slot(), error, std::move(text));
  news();
}

void Session::home_ended(Home& home) {
  const auto found = homes_.find(home.slot());
  dead_homes_.push_back(std::move(found->second));
  homes_.erase(found);
  bury_later();
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
  for (auto& [slot, home] : homes_) home->finish();
  want_slots();
  news();
}

bool Session::busy() const {
  return !queue_.empty() || commands_.busy() ||
         std::any_of(workers_.begin(), workers_.end(),
                     [](const auto& w) { return !w.second->idle(); }) ||
         std::any_of(homes_.begin(), homes_.end(),
                     [](const auto& home) { return home.second->finishes(); });
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
  if (!current || current->ended) return;
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
