#pragma once
#include <knee/cluster.h>
#include <knee/detail/task_state.h>
#include <knee/options.h>
#include <knee/slave_info.h>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/driver/callback_thread.h"
#include "client/driver/console.h"
#include "client/driver/progress.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {

class Dispatcher;
class ObjectOwner;

/// The driver's side of a cluster, as the user's threads see it: takes tasks in, hands results out.
/// Thread-safe. What decides and talks to slaves is the Dispatcher, on the RPC loop.
class Driver {
 public:
  /// Throws Error (setup) if it cannot listen where the options say.
  explicit Driver(ClusterOptions options);
  /// Cancels everything, leaves the slaves, runs the callbacks. What these submit ends as cancelled
  /// too.
  ~Driver();
  Driver(const Driver&) = delete;

  /// While the driver ends the task ends here, as cancelled. Throws that error as well if callbacks
  /// submit again and again what is refused, as then they would never end.
  void submit(detail::TaskRef task);
  /// Waits for the task on the loop itself if it is the only one there is: that saves two wake-ups.
  /// If it is not, returns at once.
  void attend(const detail::TaskState& task);
  /// The thread that attended to a task is gone; see expect_attendant.
  void attendant_left();
  void cancel(detail::TaskState& task);
  void cancel(detail::BagState& bag);
  void signal(detail::TaskState& task, int number);

  ObjectOwner& object_owner() { return *object_owner_; }
  /// There are objects to be dropped. Any thread.
  void objects_dropped();
  /// The process that an object lives in: interrupts it, or ends it. Any thread; does not wait.
  void interrupt_home(std::uint64_t object, detail::ObjectRef reference);
  void end_home(std::uint64_t object, detail::ObjectRef reference);
  /// How many objects this driver has on the slave with that index. None if it ends meanwhile.
  std::uint64_t count_objects(std::uint32_t slave);

  /// Index for TaskState::pinned of the slave with this name, which need not be there.
  std::uint32_t slave_index(const std::string& name);
  std::vector<std::string> slave_names();
  unsigned slots();
  /// Of one slave, if `index` is its, else of all. Of none if the driver ends meanwhile.
  std::vector<SlaveInfo> describe(std::optional<std::uint32_t> index,
                                  std::chrono::nanoseconds patience);

  /// Waits until the bag is idle, with progress on a terminal. Throws Error::usage in its own
  /// callback.
  void wait(detail::BagState& bag);
  /// How far everything is.
  Standing standing();
  Progress progress_of(const detail::BagState& bag) {
    return Progress(options_.progress, bag, console_);
  }

  /// On the callback thread: waits for the task, and runs calls of its chain meanwhile.
  void wait_in_callback(const detail::TaskState& task, detail::Deadline deadline);
  /// Runs a call of others on the callback thread.
  void post_call(const Caller& caller, std::function<void()> run) {
    callbacks_.post_call(caller, std::move(run));
  }

  /// Whether the caller is in a callback.
  bool in_callback() const { return callbacks_.is_here(); }
  void pause_callbacks();
  void resume_callbacks() { callbacks_.resume(); }
  void post_callback(detail::TaskRef task) { callbacks_.post(std::move(task)); }

  /// Whether slaves would take more tasks than are queued. A moment's value.
  bool wants_tasks() const { return wants_tasks_.load(std::memory_order_relaxed); }

  const ClusterOptions& options() const { return options_; }

  /// While it lives, the thread that made it waits for a result. If that is the callback thread its
  /// queue grows meanwhile, which must not stop the results it waits for.
  class Blocking {
   public:
    explicit Blocking(Driver& driver) : driver_(driver.callbacks_.is_here() ? &driver : nullptr) {
      if (driver_ != nullptr) driver_->callback_blocks();
    }
    ~Blocking() {
      if (driver_ != nullptr) --driver_->callbacks_blocked_;
    }
    Blocking(const Blocking&) = delete;

   private:
    Driver* driver_;
  };

  // For the dispatcher, on the loop:

  /// Tasks submitted since the last call, in order.
  void take_submissions(std::vector<detail::TaskRef>& into);
  /// A task has ended; called before anybody learns of it.
  void count_ended() {
    ended_.store(ended_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  /// A task has its result while a thread attends to it: that thread is told, and the driver does
  /// not end before it has left.
  void expect_attendant();
  CallbackThread& callbacks() { return callbacks_; }
  boost::asio::thread_pool& disk() { return disk_; }
  Console& console() { return console_; }
  /// Whether results should stay at the slaves because callbacks do not keep up.
  bool congested() {
    return callbacks_blocked_.load(std::memory_order_acquire) == 0 && !callbacks_.is_paused() &&
           callbacks_.congested();
  }
  void set_wants_tasks(bool wants) { wants_tasks_.store(wants, std::memory_order_relaxed); }

 private:
  /// Returns when it listens wherever the options say; throws Error (setup) if it cannot.
  void listen();
  /// Results may be fetched again.
  void resume();
  void callback_blocks();
  /// Asks the dispatcher on the loop and waits. Nothing happens in a callback that runs while the
  /// cluster ends: then there is none any more.
  template <class Question>
  void ask(Question question);
  template <class Result>
  using Answer = std::shared_ptr<std::promise<Result>>;  ///< kept by who will give it
  /// The same if the answer takes time. An empty one if the cluster ends before it comes.
  template <class Result, class Question>
  Result answer_of(Question question);
  void end_dispatcher();
  void refuse(detail::TaskRef task);
  std::uint64_t outstanding();

  ClusterOptions options_;
  std::shared_ptr<ObjectOwner> object_owner_;
  Console console_;
  boost::asio::thread_pool disk_{1};
  std::mutex mutex_;
  std::vector<detail::TaskRef> submissions_;
  std::uint64_t submitted_ = 0;
  bool over_ = false;   ///< nothing is submitted any more
  int attendants_ = 0;  ///< to be waited for
  std::condition_variable attendants_left_;
  std::atomic<std::uint64_t> ended_{0};    ///< written on the loop only
  std::atomic<int> callbacks_blocked_{0};  ///< on the callback thread's stack
  std::atomic<bool> wants_tasks_{false};
  rpc::RpcLoop loop_;
  CallbackThread callbacks_{[this] { resume(); }};  ///< ends before the loop it posts to
  std::unique_ptr<Dispatcher> dispatcher_;          ///< made, used and destroyed on the loop
};

}  // namespace knee::driver
