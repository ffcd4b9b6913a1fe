#pragma once
#include <string>
#include <vector>

#include "common/base/unique_fd.h"

namespace knee::worker {

/// Serves objects on this socket, on the calling thread, until nobody holds any of them or the
/// other side is gone. Calls are carried out one at a time, in the order in which they came.
/// `files`: of the program, by name, as Call.file counts them.
void serve_objects(UniqueFd socket, std::vector<std::string> files);

}  // namespace knee::worker
