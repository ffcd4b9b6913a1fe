#include "callback_thread.h"

#include <pthread.h>

#include "client/driver/bag_state.h"
#include "client/driver/task_access.h"

namespace knee::driver {

CallbackThread::CallbackThread() : thread_([this] { run(); }) {
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
  backlog_.fetch_add(tasks.size(), std::memory_order_relaxed);
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
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      sleeping_ = true;
      wake_.wait(lock, [this] { return !waiting_.empty() || ending_; });
      sleeping_ = false;
      if (waiting_.empty()) return;
      batch.swap(waiting_);
    }
    BagTally tally;  // one update of the bag's counters for a run of its tasks
    for (auto& task : batch) {
      detail::Access::run_continuation(*task);
      tally.ended(detail::Access::bag(*task), static_cast<bool>(task->error()));
      task = {};
    }
    tally.flush();
    backlog_.fetch_sub(batch.size(), std::memory_order_relaxed);
    batch.clear();
  }
}

}  // namespace knee::driver
