#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace knee::process {

/// What /proc tells of one process at one moment. A value.
struct ProcessStat {
  pid_t pid = 0;
  pid_t parent = 0;
  /// The kernel's letter: R running, S and D waiting, T stopped, Z ended but not waited for.
  char state = '?';
  /// Its end has begun (or is complete): it runs none of its code any more.
  bool ending = false;
  /// User and system time of all its threads, without its children. Steps of 10 ms.
  std::chrono::nanoseconds cpu_time{0};
  /// Resident set in bytes; shared pages count in full. The kernel's count may lag by some pages.
  std::uint64_t resident = 0;
};

/// None if the process is gone or /proc is not mounted.
std::optional<ProcessStat> read_stat(pid_t pid);

/// Reads a line of /proc/<pid>/stat; none if it is not one. The name in it may hold anything,
/// spaces and brackets included.
std::optional<ProcessStat> parse_stat(std::string_view line);

/// All processes that can be seen; none if /proc is not mounted. Costs some 10 us per process.
std::optional<std::vector<ProcessStat>> read_all_stats();

}  // namespace knee::process
