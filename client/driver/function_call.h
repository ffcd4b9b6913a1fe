#pragma once
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include <knee/detail/task_state.h>

#include "client/driver/lending.h"

namespace knee::driver {

/// What a task that is a call of a function may have beside other tasks.
struct FunctionCall {
  std::string name;                        ///< TaskOptions::name
  std::vector<detail::ObjectRef> objects;  ///< what the arguments refer to
  std::uint64_t chain = 0;                 ///< Task.chain; 0: without objects
  kj::Own<Lending> lending;     ///< of the objects to the attempt that is under way; the loop's
  bool watched = false;         ///< that attempt, for what it waits for
  std::exception_ptr failed{};  ///< what it fails with when it ends, whatever it says
};

/// Null: it has nothing.
FunctionCall* function_call(detail::TaskState& task);
const FunctionCall* function_call(const detail::TaskState& task);

/// What was lent to the task, if anything was, is of no use any more: `why`. On the RPC loop.
void revoke_loans(detail::TaskState& task, const char* why);

}  // namespace knee::driver
