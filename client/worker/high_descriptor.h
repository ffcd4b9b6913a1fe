#pragma once
#include <fcntl.h>

#include "common/base/unique_fd.h"

namespace knee::worker {

/// The same file under a number that tasks leave alone which close "all" small ones. Empty if there
/// is none; errno says why.
inline UniqueFd out_of_the_way(int fd) {
  constexpr int kLeast = 500;
  return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, kLeast));
}

}  // namespace knee::worker
