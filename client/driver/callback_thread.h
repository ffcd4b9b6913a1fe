#pragma once
#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <knee/detail/task_state.h>

#include "client/driver/bag_state.h"

namespace knee::driver {

/// What is known of whoever calls a function or object of the driver.
struct Caller {
  std::uint64_t chain = 0;   ///< proto::Call.chain; 0: none
  std::uint64_t number = 0;  ///< proto::Call.number; 0: not told, or it is the driver itself
};

/// Runs the continuations of finished tasks, one after the other, on a thread of its own.
/// Destruction runs what is left, and what comes of that, and joins; not from a continuation.
class CallbackThread {
 public:
  /// `relieved`: called on this thread when `congested` has said yes and half of what waited then
  /// is done.
  explicit CallbackThread(std::function<void()> relieved);
  ~CallbackThread();

  /// Any thread. Takes over the references; the vector comes back empty.
  void post(std::vector<detail::TaskRef>& tasks);
  void post(detail::TaskRef task);

  /// Runs a call of others on this thread: in its turn, or at once while the thread waits in a call
  /// of the same chain. Any thread.
  void post_call(const Caller& caller, std::function<void()> run);
  /// On this thread: waits until the task is done, which is looked at after each `wake`, or until
  /// the deadline, and runs calls of these chains meanwhile.
  void wait_until(const detail::TaskState& task, std::uint64_t chain, std::uint64_t other_chain,
                  detail::Deadline deadline);
  /// What a `wait_until` waits for may have come. Any thread.
  void wake();

  /// Nothing more is begun until `resume`, or the end. Any thread.
  void pause();
  void resume();
  bool is_paused() const { return paused_; }

  /// Calls of others, by their numbers, while this thread waits in a continuation or a call,
  /// without a limit.
  struct HeldUp {
    detail::TaskRef by{};                  ///< what it waits for; null: it does not wait
    std::vector<std::uint64_t> calls{};    ///< that wait until it does so no more
    std::vector<std::uint64_t> running{};  ///< that it has begun, one within the other
  };
  /// Any thread.
  HeldUp held_up();

  /// Whether others wait for this thread: calls of theirs have begun, or wait to. Any thread.
  bool is_waited_for();

  /// Whether the caller is in a continuation.
  bool is_here() const { return std::this_thread::get_id() == thread_.get_id(); }

  /// Whether the caller is in a continuation that runs at the end and was led to by a long line of
  /// others, each of which has run at the end already.
  bool has_ended_long_ago() const { return is_here() && last_rounds_ > kMostLastRounds; }

  /// Whether so many results wait for their continuations that no more should be fetched. On the
  /// RPC loop.
  bool congested();

 private:
  /// Of waiting results, in bytes: what a driver may spend so that slaves need not wait for it.
  static constexpr std::size_t kMostWaiting = std::size_t{64} * 1024 * 1024;

  /// Long for handlers that have another plan when one fails; short, as one may lead to several.
  static constexpr unsigned kMostLastRounds = 10;

  /// Of calls that wait, on its stack.
  static constexpr unsigned kDeepest = 200;

  struct Call {
    Caller caller;
    std::function<void()> run;
  };

  void run();
  /// One batch of tasks.
  void run(std::vector<detail::TaskRef>& batch);
  void wait_while_paused();
  bool may_run() const { return !paused_ || ending_; }
  void run_call(std::unique_lock<std::mutex>& lock, std::size_t place);
  void done(std::size_t bytes);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<detail::TaskRef> waiting_;
  std::deque<Call> calls_;
  std::vector<std::uint64_t> running_;  ///< numbers of calls, on the stack
  bool ending_ = false;
  unsigned last_rounds_ = 0;  ///< batches begun since then; of the thread
  std::atomic<bool> paused_{false};
  bool sleeping_ = false;
  struct Wait {
    const detail::TaskState* task;
    std::array<std::uint64_t, 2> chains;  ///< calls of these run meanwhile
    detail::Deadline deadline;
    bool runs = false;  ///< such a call

    bool takes(const Call& call) const;
  };
  std::vector<Wait> waits_;  ///< in `wait_until`, on the stack
  std::atomic<std::size_t> waiting_bytes_{0};
  std::atomic<bool> held_back_{false};  ///< `relieved_` is owed
  std::function<void()> relieved_;
  std::thread thread_;
};

/// The task has its result or error: tells whoever waits for it. A continuation that belongs on the
/// callback thread goes into `callbacks`; other tasks are counted in `ended`.
void complete(detail::TaskRef task, std::vector<detail::TaskRef>& callbacks, BagTally& ended);

}  // namespace knee::driver
