#pragma once
#include <string>
#include <vector>

#include <knee/detail/object.h>

#include "common/base/unique_fd.h"

namespace knee::worker {

/// Serves objects on this socket, on the calling thread, until nobody holds any of them or the
/// other side is gone. Calls are carried out one at a time, in the order in which they came.
/// `files`: of the program, by name, as Call.file counts them.
void serve_objects(UniqueFd socket, std::vector<std::string> files);

/// What makes the root of a home, in a program whose homes are no workers of a driver's own
/// program; null in others, whose root is an object that is nothing. To be set before
/// `serve_if_worker`.
using MakeRoot = detail::ObjectRef (*)();
MakeRoot& how_homes_begin() noexcept;

}  // namespace knee::worker
