#pragma once
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/execution/outstanding_work.hpp>
#include <boost/asio/prefer.hpp>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <knee/detail/task_state.h>
#include <knee/error.h>

/// How results reach their consumers.
namespace knee::detail {

template <class T>
T result_of(TaskState& state) {
  if constexpr (!std::is_void_v<T>) return decode<T>(state.value());
}

template <class T, class OnValue>
void call_with_result(OnValue& on_value, TaskState& state) {
  if constexpr (std::is_void_v<T>)
    on_value();
  else
    on_value(result_of<T>(state));
}

template <class OnError>
void call_with_error(OnError& on_error, const std::exception_ptr& error) {
  if constexpr (std::is_invocable_v<OnError&, std::exception_ptr>) {
    on_error(error);
  } else {
    static_assert(std::is_invocable_v<OnError&, const Error&>,
                  "knee: on_error takes a std::exception_ptr or a const knee::Error&");
    try {
      std::rethrow_exception(error);
    } catch (const Error& failure) {
      on_error(failure);
    }
  }
}

template <class T>
struct CompletionSignatureOf {
  using type = void(std::exception_ptr, T);
};
template <>
struct CompletionSignatureOf<void> {
  using type = void(std::exception_ptr);
};
template <class T>
using CompletionSignature = typename CompletionSignatureOf<T>::type;

/// Decodes, and calls the handler with what came.
template <class T, class Handler>
void call_handler(Handler& handler, TaskState& state) {
  std::exception_ptr error = state.error();
  if constexpr (std::is_void_v<T>) {
    std::move(handler)(std::move(error));
  } else {
    if (!error) {
      try {
        return std::move(handler)(std::exception_ptr(), result_of<T>(state));
      } catch (const DecodeError&) {
        error = std::current_exception();
      }
    }
    std::move(handler)(std::move(error), T());
  }
}

/// From the callback thread, so that a handler without an executor of its own, or with one that
/// runs things where it is asked to (std::future's), never runs on the RPC loop.
template <class T, class Handler>
void complete_by_handler(TaskRef task, Handler handler) {
  auto executor = boost::asio::prefer(boost::asio::get_associated_executor(handler),
                                      boost::asio::execution::outstanding_work.tracked);
  // In one piece: a handler that was moved from may still refer to its executor, whose context may
  // end as soon as the handler has run.
  struct Waiting {
    decltype(executor) target;  // the work ends last
    Handler handler;
    TaskRef task{};
  };
  auto waiting = std::make_unique<Waiting>(Waiting{std::move(executor), std::move(handler)});
  TaskState& state = *task;
  state.consume([waiting = std::move(waiting)](TaskState& done) mutable {
    done.add_reference();
    waiting->task = TaskRef(&done);
    const auto target = waiting->target;
    boost::asio::dispatch(target, [waiting = std::move(waiting)]() mutable {
      call_handler<T>(waiting->handler, *waiting->task);
    });
  });
}

}  // namespace knee::detail
