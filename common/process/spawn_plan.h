#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace knee::process {

/// One descriptor a new process gets.
struct PassedDescriptor {
  /// The number here, in the process that makes the plan. Borrowed: it must stay open until
  /// Keepers::start has returned, and no longer.
  int here = -1;
  /// The number there, in the new process. 0, 1 and 2 are its standard streams.
  int there = -1;
  /// True: open while the kernel loads the program, closed once it runs. This is for a program
  /// interpreter named /proc/self/fd/<there>.
  bool close_on_exec = false;

  bool operator==(const PassedDescriptor&) const = default;
};

/// All that is to be known to start one process. A value: copying it copies no descriptor.
///
/// What a plan does not say, the process inherits: umask, resource limits, priority, user. It
/// always gets default signal dispositions, an empty signal mask and a session of its own, and no
/// descriptor but 0, 1, 2 and those named here.
struct SpawnPlan {
  /// Path of the file to execute; a relative one counts from `cwd`, without a search along PATH
  /// unless `search_path` is set. With `executable_fd` it only serves in messages.
  std::string executable;
  /// Executes this open file instead (borrowed, as PassedDescriptor::here). -1: none. Not for
  /// "#!" scripts: their interpreter finds the file no longer open.
  int executable_fd = -1;
  /// A name without a slash is looked for along the PATH of `environment`, as a shell does.
  bool search_path = false;

  /// argv; empty means `executable` alone.
  std::vector<std::string> arguments;
  /// The whole environment, as NAME=value. Nothing is inherited.
  std::vector<std::string> environment;
  /// Working folder; empty keeps the slave's.
  std::string cwd;

  /// At most kMostDescriptors. Standard input is empty (/dev/null) unless given here; standard
  /// output and error are those of the slave unless given here.
  std::vector<PassedDescriptor> descriptors;

  /// CPUs the process may run on. None: as the slave itself. CPUs that do not exist are refused
  /// by the kernel only if all are such.
  std::optional<std::vector<int>> cpus;
  /// Soft limit of open files. None: as the slave's; a slave that raised its own gives the one it
  /// began with, because a high one breaks programs that use select() or close every number.
  std::optional<std::uint64_t> open_files;
  /// Added to the slave's oom_score_adj (at most 1000 in sum), so that the kernel, short of
  /// memory, takes workers before the slave. Best effort: without /proc it is left out.
  int oom_score_more = 300;

  bool operator==(const SpawnPlan&) const = default;
};

/// What one socket message can carry (SCM_MAX_FD of the kernel), less two for our own use.
inline constexpr std::size_t kMostDescriptors = 251;

/// Throws std::invalid_argument if the plan cannot be carried out by any machine: no executable, a
/// target number given twice, too many descriptors, an embedded zero byte.
void check(const SpawnPlan& plan);

/// The plan as bytes, for a process that is handed `descriptors_of(plan)` beside them.
std::vector<std::byte> encode(const SpawnPlan& plan);

/// The descriptors of this process a plan refers to, in the order `decode` expects them.
std::vector<int> descriptors_of(const SpawnPlan& plan);

/// Reads a plan back; `here` are the numbers under which its descriptors arrived. Throws
/// std::runtime_error if bytes or numbers are too few.
SpawnPlan decode_plan(std::span<const std::byte> bytes, std::span<const int> here);

}  // namespace knee::process
