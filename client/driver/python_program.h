#pragma once
#include <knee/detail/task_state.h>

#include <exception>
#include <string>

#include "proto/task.capnp.h"

namespace knee::driver {

/// Where knee-python is: $KNEE_PYTHON, or where knee-slave would be looked for. Throws Error::setup
/// if this build of Knee has none, or it is not there.
std::string find_knee_python();

/// A task failed because the process of its Python session has ended so.
std::exception_ptr python_end_error(const detail::TaskState& task, proto::Outcome::Reader outcome,
                                    const std::string& slave);

}  // namespace knee::driver
