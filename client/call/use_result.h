#pragma once
#include <knee/detail/task_state.h>
#include <knee/detail/use.h>

#include <exception>

namespace knee::detail {

/// What a use gave, as an object: one that only holds the value if that is all there is.
ObjectRef object_of(const UseResult& result);

/// A use that has ended already; it belongs to no driver.
TaskRef ended_use(UseResult result, std::exception_ptr error);

}  // namespace knee::detail
