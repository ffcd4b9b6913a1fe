#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include <knee/detail/task_state.h>

namespace knee::driver {

/// Runs the continuations of finished tasks, one after the other, on a thread of its own.
/// Destruction runs what is left and joins; not from a continuation.
class CallbackThread {
 public:
  CallbackThread();
  ~CallbackThread();

  /// Any thread. Takes over the references; the vector comes back empty.
  void post(std::vector<detail::TaskRef>& tasks);
  void post(detail::TaskRef task);

  /// Whether the caller is in a continuation.
  bool is_here() const { return std::this_thread::get_id() == thread_.get_id(); }

  /// Continuations waiting. Any thread; a moment's value.
  std::size_t backlog() const { return backlog_.load(std::memory_order_relaxed); }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<detail::TaskRef> waiting_;
  bool ending_ = false;
  bool sleeping_ = false;
  std::atomic<std::size_t> backlog_{0};
  std::thread thread_;
};

}  // namespace knee::driver
