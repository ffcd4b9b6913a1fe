#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace knee::test {

/// What /proc says of processes now. Ended processes that nobody has waited for count as gone.

bool is_alive(pid_t pid);
/// Children, their children and so on.
std::vector<pid_t> descendants_of(pid_t pid);
/// Descendants that have ended and that their parents have not waited for.
std::vector<pid_t> zombies_below(pid_t pid);
/// Descendants whose command line contains `text`.
std::vector<pid_t> descendants_with(pid_t pid, const std::string& text);
/// The kernel's letter for its state; '?' if it is gone.
char state_of(pid_t pid);
/// Bytes in memory now.
std::uint64_t resident_memory_of(pid_t pid);
/// How much more than usual a process may take: sanitizers keep what is freed, and shadows of all.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr std::uint64_t kMemorySlack = 8;
#else
inline constexpr std::uint64_t kMemorySlack = 1;
#endif
/// argv, with spaces between.
std::string command_line_of(pid_t pid);

/// An open descriptor: "5 -> socket:[1234]".
std::vector<std::string> descriptors_of(pid_t pid);
/// What such a text says it is of: "socket", "pipe", "anon_inode:[eventfd]", "memory", "file".
std::string kind_of_descriptor(const std::string& text);

/// One line per process: its number, state and command line.
std::string describe(const std::vector<pid_t>& processes);

}  // namespace knee::test
