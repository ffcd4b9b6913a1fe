#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace knee::process {

/// The functions here are for a process of one thread that is a child subreaper
/// (PR_SET_CHILD_SUBREAPER), so that every descendant whose parent ends becomes its child, and that
/// alone waits for its children: the number of a child not yet waited for cannot be reused, so
/// signals reach nobody else.

struct KillResult {
  /// Children that ended by SIGKILL during the call.
  std::uint32_t killed = 0;
  /// Children still there when time was up. 0: there is no descendant left.
  std::uint32_t remaining = 0;
};

/// Sends SIGKILL to every child and to the process group each is in (in one step of the kernel,
/// which a fork cannot slip through), except the caller's own group. Waits for nothing.
void kill_children();
/// The same, without a look at every number there is: where /proc is not mounted, children whose
/// numbers are behind the caller's by a wrap may be missed.
void kill_young_children();

/// The same for every deeper descendant that /proc shows, each by pidfd and checked again; does
/// nothing on kernels without pidfd or without /proc. For trees that grow faster than their
/// generations can be taken one by one.
void kill_deeper_descendants();

/// Kills and waits for children, and for those that become children thereby, until there are none
/// or `patience` is over. SIGCHLD must be blocked; pending ones are consumed. Blocks.
KillResult kill_descendants(std::chrono::milliseconds patience);

/// The children of this process, ended ones included, by whichever of the next three works first.
std::vector<pid_t> children();
/// From /proc/thread-self/children: quick, may miss some while the list changes; none where the
/// kernel lacks it (CONFIG_PROC_CHILDREN) or /proc is not mounted.
std::optional<std::vector<pid_t>> children_by_file();
/// From all of /proc.
std::optional<std::vector<pid_t>> children_by_stats();
/// By asking waitid about every number a process can have: needs no /proc, always works, takes
/// seconds on slow machines. Numbers from `first` to `last` are tried.
inline constexpr pid_t kHighestPid = 4'194'304;
std::vector<pid_t> children_by_asking(pid_t first = 1, pid_t last = kHighestPid);
/// The same for the numbers given out since this process was started, as long as they have not
/// begun anew: takes a moment.
std::vector<pid_t> young_children_by_asking();

}  // namespace knee::process
