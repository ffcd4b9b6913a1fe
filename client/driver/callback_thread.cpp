#include "callback_thread.h"

#include <knee/error.h>
#include <pthread.h>

#include <algorithm>

#include "client/call/task_access.h"
#include "client/driver/command_job.h"

namespace knee::driver {
namespace {

/// A batch may be long: what of it is done is told in between.
constexpr std::size_t kReportEvery = std::size_t{1024} * 1024;

/// What a result takes while it waits, in bytes.
std::size_t weight(detail::TaskState& task) {
  std::size_t bytes = sizeof(detail::TaskState) + detail::Access::payload(task).size();
  // A continuation that came after its task's end is posted as a task without a job.
  if (is_command(task) && detail::Access::extra(task) != nullptr) {
    const auto& result = command_job(task).result;
    bytes += result.out.size() + result.err.size();
    for (const auto& file : result.files) bytes += file.content.size();
  }
  return bytes;
}

}  // namespace

CallbackThread::CallbackThread(std::function<void()> relieved)
    : relieved_(std::move(relieved)), thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "knee-callback");
}

CallbackThread::~CallbackThread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void CallbackThread::post(std::vector<detail::TaskRef>& tasks) {
  if (tasks.empty()) return;
  std::size_t bytes = 0;
  for (const auto& task : tasks) bytes += weight(*task);
  waiting_bytes_ += bytes;
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty())
      waiting_.swap(tasks);
    else
      std::move(tasks.begin(), tasks.end(), std::back_inserter(waiting_));
    wake = sleeping_;
  }
  tasks.clear();
  if (wake) wake_.notify_one();
}

void CallbackThread::post(detail::TaskRef task) {
  std::vector<detail::TaskRef> one;
  one.push_back(std::move(task));
  post(one);
}

void CallbackThread::run() {
  std::vector<detail::TaskRef> batch;
  bool called = false;  // last: neither kind is to wait for all of the other
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      sleeping_ = true;
      wake_.wait(lock,
                 [this] { return ending_ || (!paused_ && !(waiting_.empty() && calls_.empty())); });
      sleeping_ = false;
      if (!calls_.empty() && !(called && !waiting_.empty())) {
        run_call(lock, 0);
        called = true;
        continue;
      }
      if (waiting_.empty()) return;
      batch.swap(waiting_);
      if (ending_) ++last_rounds_;
      called = false;
    }
    run(batch);
    batch.clear();
  }
}

void CallbackThread::run(std::vector<detail::TaskRef>& batch) {
  BagTally tally;  // one update of the bag's counters for a run of its tasks
  std::size_t bytes = 0;
  for (auto& task : batch) {
    if (paused_) {
      tally.flush();
      wait_while_paused();
    }
    bytes += weight(*task);
    detail::Access::run_continuation(*task);
    tally.ended(detail::Access::bag(*task), static_cast<bool>(task->error()));
    task = {};
    if (bytes >= kReportEvery) done(std::exchange(bytes, 0));
  }
  tally.flush();
  done(bytes);
}

void CallbackThread::pause() {
  paused_ = true;
}

void CallbackThread::resume() {
  {
    const std::lock_guard lock(mutex_);
    paused_ = false;
  }
  wake_.notify_all();
}

void CallbackThread::wait_while_paused() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return may_run(); });
}

void CallbackThread::post_call(const Caller& caller, std::function<void()> run) {
  {
    const std::lock_guard lock(mutex_);
    calls_.push_back({caller, std::move(run)});
  }
  wake_.notify_one();
}

void CallbackThread::run_call(std::unique_lock<std::mutex>& lock, std::size_t place) {
  {
    const auto call = std::move(calls_[place].run);
    running_.push_back(calls_[place].caller.number);
    calls_.erase(calls_.begin() + static_cast<std::ptrdiff_t>(place));
    lock.unlock();
    call();
  }  // and so ends, perhaps waiting, without the lock
  lock.lock();
  running_.pop_back();
}

bool CallbackThread::Wait::takes(const Call& call) const {
  const auto chain = call.caller.chain;
  return chain != 0 && (chain == chains[0] || chain == chains[1]);
}

void CallbackThread::wait_until(const detail::TaskState& task, std::uint64_t chain,
                                std::uint64_t other_chain, detail::Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (waits_.size() == kDeepest)
    throw Error(Error::Kind::usage, "callbacks are nested too deep: each waits for the next");
  const Wait wait{&task, {chain, other_chain}, deadline};
  const auto next = [&] {
    const auto found = std::find_if(calls_.begin(), calls_.end(),
                                    [&wait](const Call& call) { return wait.takes(call); });
    return static_cast<std::size_t>(found - calls_.begin());
  };
  const std::size_t depth = waits_.size();
  waits_.push_back(wait);
  const auto wanted = [&] { return task.done() || (may_run() && next() < calls_.size()); };
  for (;;) {
    if (deadline == detail::kNever)
      wake_.wait(lock, wanted);
    else if (!wake_.wait_until(lock, deadline, wanted))
      break;
    if (task.done()) break;
    waits_[depth].runs = true;
    run_call(lock, next());
    waits_[depth].runs = false;
  }
  waits_.pop_back();
}

CallbackThread::HeldUp CallbackThread::held_up() {
  const std::lock_guard lock(mutex_);
  if (waits_.empty() || waits_.back().runs || waits_.back().deadline != detail::kNever || paused_)
    return {};
  const Wait& wait = waits_.back();
  HeldUp held{.by = detail::Access::share(const_cast<detail::TaskState&>(*wait.task)),
              .running = running_};
  for (const auto& call : calls_)
    if (call.caller.number != 0 && !wait.takes(call)) held.calls.push_back(call.caller.number);
  return held;
}

bool CallbackThread::is_waited_for() {
  const std::lock_guard lock(mutex_);
  const auto is_others = [](const Call& call) { return call.caller.number != 0; };
  return std::any_of(running_.begin(), running_.end(), [](auto number) { return number != 0; }) ||
         std::any_of(calls_.begin(), calls_.end(), is_others);
}

void CallbackThread::wake() {
  const std::lock_guard lock(mutex_);
  if (!waits_.empty()) wake_.notify_all();
}

void CallbackThread::done(std::size_t bytes) {
  waiting_bytes_ -= bytes;
  if (held_back_ && waiting_bytes_ <= kMostWaiting / 2 && held_back_.exchange(false)) relieved_();
}

bool CallbackThread::congested() {
  if (waiting_bytes_ <= kMostWaiting) return false;
  held_back_ = true;
  // It may all have been done before it could see that.
  return waiting_bytes_ > kMostWaiting / 2 || !held_back_.exchange(false);
}

void complete(detail::TaskRef task, std::vector<detail::TaskRef>& callbacks, BagTally& ended) {
  using detail::Access;
  end_live_input(*task);
  switch (Access::complete(*task)) {
    case Access::Next::callback:
      callbacks.push_back(std::move(task));
      return;
    case Access::Next::here:
      Access::run_continuation(*task);
      break;
    case Access::Next::nothing:
      break;
  }
  ended.ended(Access::bag(*task), static_cast<bool>(task->error()));
}

}  // namespace knee::driver
