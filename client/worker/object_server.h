#pragma once
#include <knee/detail/task_state.h>

#include <string>
#include <vector>

#include "common/base/unique_fd.h"

namespace knee::worker {

/// Serves objects on this socket, on the calling thread, until nobody holds any of them or the
/// other side is gone. Calls are carried out one at a time, in the order in which they came.
/// `files`: of the program, by name, as Call.file counts them.
void serve_objects(UniqueFd socket, std::vector<std::string> files);

/// In a method or task that this process carries out: waits until a call of its own on another
/// object has ended, and carries out calls of its chain meanwhile.
void wait_for(detail::TaskState& task);

}  // namespace knee::worker
