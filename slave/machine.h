#pragma once
#include <cstdint>
#include <string>
#include <vector>

/// What this machine, or the part of it we may use, has.
namespace knee::slave {

/// Cores by CPU affinity and cgroup quota (v2 cpu.max, v1 cpu.cfs_quota_us), rounded up; at
/// least 1.
std::uint32_t usable_cores();

struct Memory {
  std::uint64_t total = 0;      ///< bytes; the cgroup's limit if that is less
  std::uint64_t available = 0;  ///< MemAvailable
};
Memory memory();

/// What the text of /proc/meminfo says.
Memory meminfo(const std::string& text);

/// The files of control groups, given as text. A limit of 0 is none.
namespace cgroup {

/// Where a process is in the hierarchy of `controller` (empty: v2) by the text of its
/// /proc/PID/cgroup: its own group first, then those above it, each "/a/b", the root "".
std::vector<std::string> paths(const std::string& text, const std::string& controller);

/// Cores by the line of v2 cpu.max: "QUOTA PERIOD" or "max PERIOD".
double cpu_max(const std::string& text);
/// Cores by v1 cpu.cfs_quota_us (-1: none) and cpu.cfs_period_us.
double cfs_quota(const std::string& quota, const std::string& period);
/// Bytes by memory.max or memory.limit_in_bytes.
std::uint64_t memory_limit(const std::string& text);

}  // namespace cgroup

/// The average load of the last minute.
float load();

/// Resident memory of this process, bytes.
std::uint64_t own_memory();

std::string host_name();

/// The system and its version, as /etc/os-release has them for people; empty if it does not.
std::string system_name();
/// PRETTY_NAME in the text of /etc/os-release.
std::string pretty_name(const std::string& text);

/// "Linux 6.1.0-18-amd64"
std::string kernel_name();

}  // namespace knee::slave
