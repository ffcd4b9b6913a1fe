#pragma once
#include <kj/async-io.h>
#include <kj/exception.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "common/base/unique_fd.h"

/// The crossings between the KJ loop and other threads. There are no others.
namespace knee::rpc {

/// A KJ event loop with a thread of its own. Owned by one object, which may live on any thread but
/// this loop's; destruction stops the loop and joins the thread.
///
/// The thread runs the loop, except while another one that waits for what happens on it has
/// borrowed it (`run_until`); what runs on the loop never runs on two threads at once, and each
/// sees what the one before has done. So nothing that lives there may depend on which thread it is.
///
/// It does not own what runs on it: whoever posts something that lives there also posts its end.
class RpcLoop {
 public:
  /// Starts the thread; returns when the loop runs.
  RpcLoop();
  ~RpcLoop();
  RpcLoop(const RpcLoop&) = delete;
  RpcLoop& operator=(const RpcLoop&) = delete;

  /// The context's waitScope is not for jobs.
  using Job = std::function<void(kj::AsyncIoContext&)>;
  using Condition = std::function<bool()>;

  /// Any thread -> KJ: runs `job` on the loop, in the order of posting. Jobs must not throw, and
  /// one that posts itself again and again keeps the loop from everything else.
  void post(Job job);

  /// The same; if the loop was borrowed a moment ago and nobody runs it now, the caller runs what
  /// is ready on it, without looking for more. Not from a job.
  void post_here(Job job) noexcept;

  /// Posts and waits until it has run; rethrows what it throws. Not from the loop's own thread.
  void run(Job job);

  /// Runs the loop on the calling thread until `done`, which saves the two wake-ups of having it
  /// run elsewhere. `done` is asked whenever jobs have run. Afterwards the loop's own thread takes
  /// over: at once, or, if `idle` says that nothing is expected, only after a while (kLease) in
  /// which nobody has borrowed the loop again. What is ready then waits for the next who runs the
  /// loop, and goes out with what that one sends. False: somebody else has borrowed it, or the
  /// caller has a KJ loop of its own; then nothing was done. Not from a job.
  bool run_until(const Condition& done, const Condition& idle) noexcept;

 private:
  /// What is made on the loop's thread and lives as long as it.
  struct Core;

  void serve();
  void lend();
  void run_turns(kj::WaitScope& scope, const Condition& done);
  void take_jobs();
  /// The borrower has ended. `at_once`: the loop must not stay alone.
  void give_back(bool at_once);
  /// Sees to it that whoever runs the loop takes the jobs. Locked.
  void ring();

  std::mutex mutex_;
  std::vector<Job> jobs_;
  bool stopping_ = false;
  bool lent_ = false;       ///< the loop's own thread does not run it
  bool borrowed_ = false;   ///< another thread runs it, or will as soon as it is lent
  bool used_ = false;       ///< borrowed since the own thread looked last
  bool recalled_ = false;   ///< the own thread is to take over as soon as nobody has borrowed it
  bool dozing_ = false;     ///< the own thread waits for the borrower, however long
  std::thread::id runner_;  ///< runs turns
  std::condition_variable lent_out_;
  std::condition_variable returned_;

  UniqueFd bell_;         ///< eventfd; by which other threads wake whoever runs the loop
  Core* core_ = nullptr;  ///< on the own thread's stack
  std::thread thread_;
};

/// What work on another thread gives, until the loop takes it.
template <class Result>
class Landing {
 public:
  template <class Work>
  void put(Work& work) {
    std::optional<Result> result(work());
    const std::lock_guard lock(mutex_);
    result_ = std::move(result);
  }
  Result take() {
    const std::lock_guard lock(mutex_);
    return std::move(*result_);
  }

 private:
  std::mutex mutex_;
  std::optional<Result> result_;
};

template <>
class Landing<void> {
 public:
  template <class Work>
  void put(Work& work) {
    work();
    const std::lock_guard lock(mutex_);
  }
  void take() { const std::lock_guard lock(mutex_); }

 private:
  std::mutex mutex_;
};

/// KJ -> blocking work -> back: runs `work` on `pool` (anything with `post`, such as an
/// asio::thread_pool wrapped by the caller) and resolves on the calling loop. `work` must not touch
/// KJ objects; what it throws rejects the promise. It runs to its end even if the promise is
/// dropped.
template <class Post, class Work>
auto offload(Post&& post, Work work) {
  using Result = std::invoke_result_t<Work&>;
  auto paf = kj::newPromiseAndCrossThreadFulfiller<void>();
  // Jobs are copied by some pools; a fulfiller has one owner.
  auto fulfiller =
      std::make_shared<kj::Own<kj::CrossThreadPromiseFulfiller<void>>>(kj::mv(paf.fulfiller));
  auto landing = std::make_shared<Landing<Result>>();
  post([fulfiller, landing, work = std::move(work)]() mutable {
    try {
      landing->put(work);
      (*fulfiller)->fulfill();
    } catch (const std::exception& error) {
      (*fulfiller)
          ->reject(kj::Exception(kj::Exception::Type::FAILED, "", 0, kj::heapString(error.what())));
    } catch (...) {
      (*fulfiller)
          ->reject(kj::Exception(kj::Exception::Type::FAILED, "", 0,
                                 kj::heapString("something that is no std::exception")));
    }
  });
  return paf.promise.then([landing] { return landing->take(); });
}

/// What a kj::Exception means to people: its description without file and line, and without what KJ
/// puts before it ("remote exception:", "std::exception:", the condition of a KJ_REQUIRE).
std::string text_of(const kj::Exception& error);

/// The reverse: a failure of which that is to be said.
kj::Exception failure(const std::string& text);

}  // namespace knee::rpc
