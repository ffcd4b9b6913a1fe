#pragma once
#include <kj/async-io.h>
#include <kj/exception.h>

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

/// A KJ event loop on a thread of its own. Owned by one object, which may live on any thread but
/// this loop's; destruction stops the loop and joins the thread.
///
/// It does not own what runs on it: whoever posts something that lives there also posts its end.
class RpcLoop {
 public:
  /// Starts the thread; returns when the loop runs.
  RpcLoop();
  ~RpcLoop();
  RpcLoop(const RpcLoop&) = delete;
  RpcLoop& operator=(const RpcLoop&) = delete;

  using Job = std::function<void(kj::AsyncIoContext&)>;

  /// Any thread -> KJ: runs `job` on the loop, in the order of posting. Jobs must not throw.
  void post(Job job);

  /// Posts and waits until it has run; rethrows what it throws. Not from the loop's own thread.
  void run(Job job);

 private:
  void take_jobs(kj::AsyncIoContext& io);

  std::mutex mutex_;
  std::vector<Job> jobs_;
  bool stopping_ = false;
  UniqueFd bell_;  ///< eventfd; written when jobs_ was empty
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

/// What a kj::Exception means to people: its description without file and line.
std::string text_of(const kj::Exception& error);

}  // namespace knee::rpc
