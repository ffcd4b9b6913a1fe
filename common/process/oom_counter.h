#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace knee::process {

/// Reads how often the kernel has killed a process for want of memory, in the control group this
/// process is in (memory.events, or memory.oom_control of version 1), or, where that cannot be
/// read, on the whole machine (/proc/vmstat). Finds its file at construction, which never fails.
class OomCounter {
 public:
  OomCounter();
  /// None if no counter is readable.
  [[nodiscard]] std::optional<std::uint64_t> read() const;

 private:
  std::string path_;
};

/// The number after the word oom_kill at the start of a line.
std::optional<std::uint64_t> parse_oom_kill(std::string_view text);

/// The group of the memory controller in the text of /proc/<pid>/cgroup: the path, and whether it
/// is one of version 1. None if there is no such line.
struct MemoryGroup {
  std::string path;
  bool version_1 = false;
  bool operator==(const MemoryGroup&) const = default;
};
std::optional<MemoryGroup> parse_memory_group(std::string_view text);

}  // namespace knee::process
