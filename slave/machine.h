#pragma once
#include <cstdint>
#include <string>

/// What this machine, or the part of it we may use, has.
namespace knee::slave {

/// Cores by CPU affinity and cgroup quota (v2 cpu.max, v1 cpu.cfs_quota_us), rounded up; at least 1.
std::uint32_t usable_cores();

struct Memory {
  std::uint64_t total = 0;      ///< bytes; the cgroup's limit if that is less
  std::uint64_t available = 0;  ///< MemAvailable
};
Memory memory();

/// The average load of the last minute.
float load();

/// Resident memory of this process, bytes.
std::uint64_t own_memory();

std::string host_name();

}  // namespace knee::slave
