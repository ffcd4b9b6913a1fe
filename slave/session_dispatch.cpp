// Session: giving out tasks, and memory for their results.

#include <algorithm>

#include "slave/session.h"
#include "slave/worker_setup.h"

namespace knee::slave {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// Work a worker holds. It is looked after when most of that is done: enough to make a wake-up
/// worth its price. No loss when a slot is wanted elsewhere: what has not begun can be taken back.
constexpr nanoseconds kWorkAhead = milliseconds(32);
constexpr std::size_t kTasksAhead = 2048;

/// After the machine has refused a process, before it is asked for one again.
constexpr auto kStartAgain = std::chrono::seconds(1);
/// After an idle worker had no room for a task, before it is offered one again.
constexpr auto kGiveAgain = milliseconds(10);

/// Tasks that run for longer get no memory for their results before they have any.
constexpr nanoseconds kLongestLoan = std::chrono::seconds(1);

/// Memory of large values that has not been wanted for this long, or up to twice as long, is freed.
constexpr auto kSpareTime = 1 * kj::SECONDS;

}  // namespace

void Session::dispatch() {
  release_idle();
  start_awaited();
  want_slots();
  const std::size_t share = share_of_a_worker();
  for (auto& [slot, worker] : workers_)
    if (!worker->idle()) top_up(*worker, share);
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
  const bool may_start = !queue_.empty() && (queue_.front().is_command || has_worker_for_call());
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

void Session::start_awaited() {
  for (auto it = awaited_.begin(); it != awaited_.end();)
    it = start_awaited(*it) ? std::next(it) : awaited_.erase(it);
}

/// False: there is no such task any more.
bool Session::start_awaited(std::uint64_t id) {
  for (const auto& [slot, worker] : workers_)
    if (worker->first_task() == id) return true;
  if (commands_.runs(id)) return true;
  // It may wait behind others.
  for (const auto& [slot, worker] : workers_) {
    if (!worker->has(id)) continue;
    put_back(worker->take_back());
    break;
  }
  const auto is_it = [id](const QueuedTask& task) { return task.id == id; };
  const auto found = std::find_if(queue_.begin(), queue_.end(), is_it);
  if (found == queue_.end()) return false;
  QueuedTask task = std::move(*found);
  queue_.erase(found);
  queue_.push_front(std::move(task));
  release_idle();
  want_slots();
  if (queue_.empty() || !is_it(queue_.front())) return true;
  if (queue_.front().is_command) {
    queue_.front().cores = 0;
    start_command();
  } else if (has_worker_for_call()) {
    start_call(0);
  }
  return true;
}

Worker* Session::idle_worker() {
  const auto now = Clock::now();
  for (auto& [slot, worker] : workers_)
    if (worker->idle() && worker->holding == 0 && worker->usable() && now >= worker->full_until)
      return worker.get();
  return nullptr;
}

/// One that is idle, or may be started.
bool Session::has_worker_for_call() {
  if (idle_worker() != nullptr) return true;
  const auto now = Clock::now();
  return now >= start_again_ && !is_any_full(now);
}

bool Session::is_any_full(Clock::time_point now) const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [now](const auto& worker) { return now < worker.second->full_until; });
}

Worker& Session::start_worker() {
  const std::uint32_t slot = free_slot();
  return *workers_.emplace(slot, make_worker(*this, slot, program_)).first->second;
}

std::unique_ptr<Worker> Session::make_worker(WorkerOwner& owner, std::uint32_t slot,
                                             const std::optional<WorkerProgram>& program) {
  if (!program) throw std::runtime_error("the session was opened without a program");
  const auto setup = worker_setup(slave_.name, slot, program->files, records_);
  auto plan = program->plan;
  plan.open_files = slave_.open_files;
  WorkingFolder folder(slave_.disk, slave_.scratch, "worker" + std::to_string(slot));
  return std::make_unique<Worker>(owner, slave_.keepers, slave_.io.unixEventPort, slot,
                                  std::move(folder), plan, setup);
}

void Session::start_command() {
  QueuedTask task = std::move(queue_.front());
  queue_.pop_front();
  commands_.start(std::move(task), free_slot());
  start_ticking();
}

std::uint32_t Session::free_slot(std::uint32_t from) const {
  std::uint32_t slot = from;
  while (workers_.contains(slot) || commands_.uses_slot(slot) || homes_.contains(slot)) ++slot;
  return slot;
}

void Session::command_done(std::uint32_t cores) {
  slave_.slots.give_back(client_, cores, Clock::now());
  dispatch();
  slave_.grant();
  news();
}

bool Session::takes_tasks(const Worker& worker) {
  return worker.usable() && !worker.kill_at && worker.holding != 0;
}

void Session::top_up(Worker& worker, std::size_t share) {
  if (!takes_tasks(worker)) return;
  if (slave_.slots.should_yield(client_, Clock::now())) {
    put_back(worker.take_back());
    return;
  }
  const std::size_t most = std::min(kTasksAhead, share);
  while (!queue_.empty() && !queue_.front().is_command && queue_.front().cores == worker.holding &&
         worker.tasks() < most && may_read() &&
         (worker.tasks() < 2 || worker.backlog() < kWorkAhead)) {
    if (!give_one(worker)) break;
  }
  worker.publish();
}

/// Else the first one would take all that the next ones will want in a moment.
std::size_t Session::share_of_a_worker() const {
  if (queue_.empty()) return 0;
  std::size_t workers = 0;
  std::size_t tasks = queue_.size();
  for (const auto& [slot, worker] : workers_) {
    if (!takes_tasks(*worker)) continue;
    ++workers;
    tasks += worker->tasks();
  }
  return workers == 0 ? 0 : (tasks + workers - 1) / workers;
}

bool Session::give_one(Worker& worker) {
  QueuedTask& task = queue_.front();
  try {
    if (prepare(worker, task)) {
      lend_memory(worker, task);
      if (worker.give(task, estimates_.of(task.function))) {
        queue_.pop_front();
        return true;
      }
    }
  } catch (const std::exception& error) {
    // Descriptors come back when other tasks end.
    if (!std::exchange(told_unready_, true))
      outbox_.add_note(std::string("this slave has to wait before it can hand on a task: ") +
                       error.what());
  }
  worker.forget_passed(task);
  return false;
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

bool Session::prepare(Worker& worker, QueuedTask& task) {
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
  if (task.value) {
    const auto* memory = values_.argument(*task.value);
    if (memory != nullptr && !worker.pass_value(*task.value, memory->fd())) return false;
  }
  return task.objects.size() == 0 || worker.open_line(task);
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

}  // namespace knee::slave
