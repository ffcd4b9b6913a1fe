#pragma once
#include <memory>
#include <string>
#include <vector>

#include <knee/detail/call_context.h>

#include "client/call/call_chain.h"
#include "common/base/unique_fd.h"

namespace knee::worker {

/// What a worker in a slot needs to run tasks with functions and objects among their arguments.
/// Lives on the thread that runs them.
class TaskObjectHost {
 public:
  /// `files`: of the program, by name, as Call.file counts them.
  explicit TaskObjectHost(std::vector<std::string> files);
  TaskObjectHost(const TaskObjectHost&) = delete;
  ~TaskObjectHost();

 private:
  friend class TaskObjects;
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// The functions and objects that one task was given, and the connection by which it uses them.
/// With it all of them end, wherever copies of them are, and so does what others were given of
/// this process.
class TaskObjects {
 public:
  /// Waits until they are here. Throws if they do not come. `chain`: Task.chain.
  TaskObjects(TaskObjectHost& host, UniqueFd socket, std::uint64_t chain);
  TaskObjects(const TaskObjects&) = delete;
  ~TaskObjects();

  /// Calls the function that uses them. Throws what it throws.
  template <class Function>
  void run(Function&& function) {
    const detail::ArrivingObjects arriving(objects_);
    try {
      function();
    } catch (...) {
      finish();
      throw;
    }
    finish();
  }

 private:
  /// Waits until the calls that the task has sent are answered: they are part of it.
  void finish();

  struct Line;
  TaskObjectHost& host_;
  detail::InChain in_chain_;
  bool come_ = false;  ///< the objects
  std::unique_ptr<Line> line_;
  std::vector<detail::ObjectRef> objects_;
};

}  // namespace knee::worker
