#pragma once
#include <knee/detail/task_state.h>

#include <exception>

namespace knee::detail {

/// The way into a TaskState of what carries it out: the driver, or a worker that makes calls.
struct Access {
  static Bytes& payload(TaskState& task) { return task.payload_; }
  static const FunctionEntry* function(const TaskState& task) { return task.function_; }
  static BagState* bag(const TaskState& task) { return task.bag_; }
  static std::shared_ptr<void>& extra(TaskState& task) { return task.extra_; }
  static std::vector<SharedBlobRef>& shared(TaskState& task) { return task.shared_; }
  /// After `done` without an error: what a use by names gave; null for other tasks.
  static std::shared_ptr<UseResult>& answer(TaskState& task) { return task.answer_; }
  static void set_error(TaskState& task, std::exception_ptr error) {
    task.error_ = std::move(error);
  }

  /// Another reference to it.
  static TaskRef share(TaskState& task) {
    task.add_reference();
    return TaskRef(&task);
  }

  enum class Next { nothing, callback, here };
  /// The task has its result or error: what is to be done with its consumer. On the loop that it
  /// came by, once per task.
  static Next complete(TaskState& task);
  /// Runs the continuation and destroys it; what it throws becomes the bag's failure.
  static void run_continuation(TaskState& task);
  /// The task's name for people.
  static std::string name(const TaskState& task);
};

}  // namespace knee::detail
