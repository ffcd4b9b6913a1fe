#pragma once
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <utility>

#include "client/driver/bag_state.h"
#include "client/driver/driver.h"
#include "client/call/task_access.h"

namespace knee::test {

/// A driver whose only slave never answers, so that tasks end when the test says so.
inline ClusterOptions nowhere() {
  ClusterOptions options;
  options.slaves = {"unix:/nonexistent/knee-test.sock"};
  options.progress = false;
  return options;
}

inline const detail::FunctionEntry kFunction{nullptr, "sum"};

/// A bag's state that lives as long as the test; the driver's destruction comes first.
struct TaskFixture {
  ~TaskFixture() { bag->drop_reference(); }

  detail::TaskRef task(bool in_bag = true) {
    if (in_bag) {
      bag->add_reference();
      bag->begin();
    }
    return detail::TaskRef(new detail::TaskState(driver, &kFunction, in_bag ? bag : nullptr));
  }

  /// Ends it as the dispatcher does.
  void complete(const detail::TaskRef& task, std::exception_ptr error = nullptr) {
    using detail::Access;
    if (error) Access::set_error(*task, std::move(error));
    driver::BagTally tally;
    switch (Access::complete(*task)) {
      case Access::Next::callback:
        driver.post_callback(task);
        return;
      case Access::Next::here:
        Access::run_continuation(*task);
        break;
      case Access::Next::nothing:
        break;
    }
    tally.ended(Access::bag(*task), static_cast<bool>(task->error()));
  }
  void fail(const detail::TaskRef& task, const char* why) {
    complete(task, std::make_exception_ptr(std::runtime_error(why)));
  }
  bool idle() { return bag->wait_for(std::chrono::seconds(60)); }

  detail::BagState* bag = new detail::BagState(BagOptions{.name = "bag"});
  driver::Driver driver{nowhere()};
};

}  // namespace knee::test
