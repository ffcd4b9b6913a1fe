#pragma once
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <concepts>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

#include <knee/detail/completion.h>
#include <knee/detail/task_state.h>
#include <knee/error.h>

namespace knee {

struct CommandResult;

/// A result that will be there: of a task, sooner or later. Move-only; has one consumer: one of
/// `get`, `then` and `async_wait`, once. Any thread may use it, one at a time.
///
/// Destruction without a consumer lets the task run on; if it fails, its bag reports that. To stop
/// it, `cancel`. When its Cluster is gone, `get` still gives what has become of it; the other
/// consumers would have no thread to run on and must not be used any more.
template <class T>
class [[nodiscard]] Promise {
 public:
  using value_type = T;

  Promise() = default;
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    Promise old(std::move(*this));
    task_ = std::move(other.task_);
    return *this;
  }
  ~Promise() {
    if (task_) task_->abandon();
  }

  /// Waits for the result and takes it. Throws the task's failure as Error.
  T get() {
    detail::TaskRef task = take();
    task->wait();
    if (task->error()) std::rethrow_exception(task->error());
    return detail::result_of<T>(*task);
  }

  /// Whether `get` would return at once. False after the result was consumed.
  bool ready() const { return task_ && task_->done(); }

  /// Waits until `ready`, but no longer than that, and says whether it is. What is to come goes on
  /// its way in any case, and is still there to be consumed: to stop it, `cancel`.
  bool wait_for(std::chrono::nanoseconds patience) const {
    check();
    const auto task = task_;  // a callback that runs meanwhile may consume it
    const auto now = detail::Deadline::clock::now();
    return task->wait_until(patience < detail::kNever - now ? now + patience : detail::kNever);
  }

  /// Whether there is still something to consume.
  bool valid() const { return static_cast<bool>(task_); }

  /// Calls `on_value(T)` (or `on_value()` for void) on the cluster's callback thread. A failure is
  /// left to the bag, whose `wait` throws it.
  template <class OnValue>
  void then(OnValue on_value) {
    detail::TaskRef task = take();
    task->consume([on_value = std::move(on_value)](detail::TaskState& state) mutable {
      if (state.error())
        state.unhandled(state.error());
      else
        detail::call_with_result<T>(on_value, state);
    });
  }

  /// The same; a failure goes to `on_error(std::exception_ptr)` or `on_error(const knee::Error&)`,
  /// and is handled by that.
  template <class OnValue, class OnError>
  void then(OnValue on_value, OnError on_error) {
    detail::TaskRef task = take();
    task->consume([on_value = std::move(on_value),
                   on_error = std::move(on_error)](detail::TaskState& state) mutable {
      if (state.error())
        detail::call_with_error(on_error, state.error());
      else
        detail::call_with_result<T>(on_value, state);
    });
  }

  /// Stops the task: a waiting one never starts; a running one sees this_task::cancelled() and is
  /// killed after the grace. The consumer gets Error::cancelled, unless the result was here before.
  void cancel() {
    if (task_) task_->cancel();
  }

  /// Sends a signal (SIGINT, SIGSTOP ...) to a command and the processes of its group. One that has
  /// not started yet gets it as soon as it has. Nothing happens if it has ended.
  void signal(int number) requires std::is_same_v<T, CommandResult> {
    if (task_) task_->signal(number);
  }

  /// Whether a slave has said that the command runs there. A moment's value; stays true at its end.
  bool started() const requires std::is_same_v<T, CommandResult> {
    return task_ && task_->started();
  }

  /// Waits with any Boost.Asio completion token, signature void(std::exception_ptr[, T]). The
  /// handler runs on its associated executor, which is kept busy until then; one without runs on
  /// the callback thread. `co_await promise.async_wait()` gives the value or throws.
  template <class Token = boost::asio::use_awaitable_t<>>
  auto async_wait(Token&& token = Token()) {
    // As a promise, since a token may put off the beginning (deferred) and then drop it: the bag
    // still hears of a failure.
    return boost::asio::async_initiate<Token, detail::CompletionSignature<T>>(
        [](auto handler, Promise promise) {
          detail::complete_by_handler<T>(promise.take(), std::move(handler));
        },
        token, Promise(take()));
  }

  /// For the library.
  explicit Promise(detail::TaskRef task) : task_(std::move(task)) {}

 private:
  void check() const {
    if (!task_)
      throw Error(Error::Kind::usage, "this promise was consumed before, or never had a task");
  }
  detail::TaskRef take() {
    check();
    return std::move(task_);
  }

  detail::TaskRef task_;
};

}  // namespace knee
