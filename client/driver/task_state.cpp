#include <knee/detail/task_state.h>

#include <condition_variable>
#include <iostream>
#include <mutex>

#include "client/call/call_chain.h"
#include "client/call/task_access.h"
#include "client/driver/command_job.h"
#include "client/driver/driver.h"
#include "client/driver/function_call.h"
#include "client/driver/objects.h"

namespace knee::driver {

FunctionCall* function_call(detail::TaskState& task) {
  if (task.kind != detail::TaskState::Kind::function) return nullptr;
  return static_cast<FunctionCall*>(detail::Access::extra(task).get());
}
const FunctionCall* function_call(const detail::TaskState& task) {
  return function_call(const_cast<detail::TaskState&>(task));
}

void revoke_loans(detail::TaskState& task, const char* why) {
  auto* call = function_call(task);
  if (call == nullptr || call->lending.get() == nullptr) return;
  call->lending->revoke(why);
  call->lending = nullptr;
}

}  // namespace knee::driver

namespace knee::detail {
namespace {

/// Threads that wait for a while. They are few, and share one bell, which outlives all drivers.
class Patience {
 public:
  static Patience& instance() {
    static auto* const patience = new Patience;
    return *patience;
  }
  void wait(const TaskState& task, Deadline deadline) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    bell_.wait_until(lock, deadline, [&task] { return task.done(); });
    --waiting_;
  }
  /// A task is done.
  void ring() {
    const std::lock_guard lock(mutex_);
    if (waiting_ != 0) bell_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable bell_;
  unsigned waiting_ = 0;
};

}  // namespace

TaskRef ended_task(Bytes result, std::exception_ptr error) {
  return TaskRef(new TaskState(std::move(result), std::move(error)));
}

TaskState::~TaskState() {
  if (bag_ != nullptr) bag_->drop_reference();
}

void TaskState::wait() {
  if (done()) return;  // its driver may be gone
  const bool nested = driver_ == nullptr || driver_->in_callback();
  auto expected = Phase::pending;
  const bool first = phase_.compare_exchange_strong(
      expected, nested ? Phase::nested : Phase::attending, std::memory_order_acq_rel);
  if (expected == Phase::done) return;
  if (driver_ == nullptr) return how_servers_wait()(*this, kNever);
  if (!first && !nested) {  // the driver counts on the first only
    for (auto phase = expected; phase != Phase::done;
         phase = phase_.load(std::memory_order_acquire))
      phase_.wait(phase, std::memory_order_acquire);
    return;
  }
  const driver::Driver::Blocking blocking(*driver_);
  if (nested) return driver_->wait_in_callback(*this, kNever);
  driver_->attend(*this);
  expected = Phase::attending;
  // Done already: the driver, which may be about to end, has been told to wait for this thread.
  if (!phase_.compare_exchange_strong(expected, Phase::waited, std::memory_order_acq_rel))
    return driver_->attendant_left();
  phase_.wait(Phase::waited, std::memory_order_acquire);
}

bool TaskState::wait_until(Deadline deadline) {
  if (done()) return true;
  const bool nested = driver_ == nullptr || driver_->in_callback();
  // It may leave before the end, so it does nothing that the driver relies on.
  const auto waiting = nested ? Phase::nested : Phase::waited;
  auto expected = Phase::pending;
  const bool first = phase_.compare_exchange_strong(expected, waiting, std::memory_order_acq_rel);
  if (expected == Phase::done) return true;
  // Also where it throws: then nobody waits any more.
  const auto end =
      std::unique_ptr<TaskState, void (*)(TaskState*)>(first ? this : nullptr, [](TaskState* task) {
        for (auto phase : {Phase::nested, Phase::waited})
          if (task->phase_.compare_exchange_strong(phase, Phase::pending)) return;
      });
  if (driver_ == nullptr) {
    how_servers_wait()(*this, deadline);
  } else if (nested) {
    const driver::Driver::Blocking blocking(*driver_);
    driver_->wait_in_callback(*this, deadline);
  } else {
    Patience::instance().wait(*this, deadline);
  }
  return done();
}

void TaskState::consume(Continuation continuation, bool anywhere) {
  continuation_ = std::move(continuation);
  anywhere_ = anywhere;
  auto expected = Phase::pending;
  if (phase_.compare_exchange_strong(expected, Phase::armed, std::memory_order_acq_rel)) return;
  if (anywhere || driver_ == nullptr) return Access::run_continuation(*this);
  // It has ended and was counted: what runs now is one more callback, not one more task.
  TaskRef late(new TaskState(*driver_, function_, nullptr));
  if (bag_ != nullptr) bag_->begin();
  late->continuation_ = [self = Access::share(*this)](TaskState&) {
    Access::run_continuation(*self);
    if (self->bag_ != nullptr) self->bag_->end(1);
  };
  driver_->post_callback(std::move(late));
}

void TaskState::cancel() {
  if (driver_ == nullptr || done()) return;
  driver_->cancel(*this);
}

void TaskState::signal(int number) {
  if (done()) return;
  driver_->signal(*this, number);
}

bool TaskState::started() const {
  return static_cast<const driver::CommandJob*>(extra_.get())->started;
}

void TaskState::unhandled(const std::exception_ptr& error) {
  if (bag_ != nullptr) return bag_->fail(error);
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& failure) {
    std::cerr << "knee: unhandled failure: " + std::string(failure.what()) + "\n";
  } catch (...) {
    std::cerr << "knee: unhandled failure of " + Access::name(*this) + "\n";
  }
}

void TaskState::abandon() {
  auto expected = Phase::pending;
  if (phase_.compare_exchange_strong(expected, Phase::abandoned, std::memory_order_acq_rel)) return;
  if (error_) unhandled(error_);
}

Access::Next Access::complete(TaskState& task) {
  using Phase = TaskState::Phase;
  switch (task.phase_.exchange(Phase::done, std::memory_order_acq_rel)) {
    case Phase::armed:
      return task.anywhere_ ? Next::here : Next::callback;
    case Phase::attending:
      task.driver_->expect_attendant();
      [[fallthrough]];
    case Phase::waited:
    case Phase::nested:
      task.phase_.notify_all();
      if (task.driver_ == nullptr) return Next::nothing;
      task.driver_->callbacks().wake();
      Patience::instance().ring();
      return Next::nothing;
    case Phase::abandoned:
      if (task.error_) task.unhandled(task.error_);
      return Next::nothing;
    case Phase::pending:
    case Phase::done:
      return Next::nothing;
  }
  return Next::nothing;
}

void Access::run_continuation(TaskState& task) {
  auto continuation = std::move(task.continuation_);
  try {
    continuation(task);
  } catch (...) {
    task.unhandled(std::current_exception());
  }
}

std::string Access::name(const TaskState& task) {
  std::string name;
  if (task.kind == TaskState::Kind::method)
    name = static_cast<driver::ObjectCall*>(task.extra_.get())->label();
  else if (task.kind == TaskState::Kind::command)
    name = static_cast<driver::CommandJob*>(task.extra_.get())->label;
  else if (const auto* call = driver::function_call(task); call != nullptr && !call->name.empty())
    name = call->name;
  else
    name = task.function_->label;
  if (task.bag_ != nullptr && !task.bag_->options.name.empty())
    name = task.bag_->options.name + ": " + name;
  return name;
}

}  // namespace knee::detail
