#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include <knee/command.h>
#include <knee/detail/map.h>
#include <knee/detail/task_state.h>
#include <knee/promise.h>

namespace knee {

namespace detail {
template <class...>
inline constexpr bool begins_with_options = false;
template <class First, class... Rest>
inline constexpr bool begins_with_options<First, Rest...> =
    std::is_same_v<std::remove_cvref_t<First>, TaskOptions>;
}  // namespace detail

/// Options of a bag: defaults for its tasks; `name` is what messages and progress call it.
using BagOptions = TaskOptions;

/// A bag of independent tasks that are waited for together. Made by Cluster::bag, which it must not
/// outlive. One thread adds tasks and waits; callbacks may add tasks too.
///
/// Destruction cancels what is left and waits for its callbacks; in a callback, where that would
/// never end, it says so and aborts.
class KNEE_EXPORT Bag {
 public:
  Bag(Bag&&) noexcept;
  Bag& operator=(Bag&&) = delete;
  ~Bag();

  /// Sends off `f(args...)`. Arguments are encoded now, as the parameters' types.
  template <auto f, class... Args>
  requires(!detail::begins_with_options<Args...>) auto call(Args&&... args) {
    return send<f>(TaskOptions(), std::forward<Args>(args)...);
  }
  /// The same with options of its own: `bag.call<f>(knee::TaskOptions{.attempts = 1}, args...)`.
  template <auto f, class... Args>
  auto call(const TaskOptions& options, Args&&... args) {
    return send<f>(options, std::forward<Args>(args)...);
  }
  /// The same for a captureless lambda.
  template <class Function, class... Args>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, TaskOptions>) auto call(Function,
                                                                                  Args&&... args) {
    return send<Function>(detail::entry_of_type<Function>, TaskOptions(),
                          std::forward<Args>(args)...);
  }
  template <class Function, class... Args>
  auto call(const TaskOptions& options, Function, Args&&... args) {
    return send<Function>(detail::entry_of_type<Function>, options, std::forward<Args>(args)...);
  }

  /// Runs an executable on some slave.
  Promise<CommandResult> run(Command command, const TaskOptions& options = {}) {
    return Promise<CommandResult>(detail::submit_command(site(), std::move(command), &options));
  }

  /// Runs `f` on every element of `range`, a window of them at a time: elements are taken from the
  /// range as slaves have room. Gives the results as they come, each with its element's index:
  ///     for (auto [index, value] : bag.map<f>(range)) ...
  /// Leaving the loop early, also by an exception, cancels what was sent off and not yielded.
  template <auto f, class Range>
  auto map(Range&& range) {
    return detail::Map<f, Range>(*this, std::forward<Range>(range));
  }

  /// Waits until every task has ended and every callback has returned. Then throws the first
  /// failure that nobody handled (its text counts the others), or the first exception out of a
  /// callback; the bag is empty then and may be used again. Shows progress on a terminal. From a
  /// callback it throws while tasks of the bag are open: it would wait for itself.
  void wait();

  /// Cancels all tasks that have not ended.
  void cancel();

  struct Counts {
    std::size_t done = 0;
    std::size_t failed = 0;
    std::size_t outstanding = 0;  ///< not ended, or with a callback that has not returned
  };
  Counts counts() const;

  /// For the library.
  Bag(driver::Driver& driver, BagOptions options);
  detail::CallSite site() const;

 private:
  template <auto f, class... Args>
  auto send(const TaskOptions& options, Args&&... args) {
    return send<std::remove_cv_t<decltype(f)>>(detail::entry_of_value<f>, options,
                                               std::forward<Args>(args)...);
  }
  template <class Function, class... Args>
  auto send(const detail::FunctionEntry& entry, const TaskOptions& options, Args&&... args) {
    using Result = std::remove_cvref_t<detail::ResultOf<Function>>;
    return Promise<Result>(
        detail::call<Function>(site(), entry, &options, std::forward<Args>(args)...));
  }

  driver::Driver* driver_ = nullptr;
  detail::BagState* state_ = nullptr;
};

}  // namespace knee
