#pragma once
#include <sched.h>
#include <unistd.h>

namespace knee {

/// Cores that this process may run on (sched_setaffinity(2)): those it was left by who started it.
inline int allowed_cores() noexcept {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0
             ? CPU_COUNT(&set)
             : static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));  // more than a set holds
}

}  // namespace knee
