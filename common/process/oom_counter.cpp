#include "common/process/oom_counter.h"

#include <charconv>
#include <fstream>
#include <sstream>
#include <vector>

namespace knee::process {
namespace {

std::string read_file(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Where a group's counter may lie. The path in /proc/self/cgroup is as seen from the group
/// namespace's root; inside a container the mount may show only the group itself, hence the
/// second of each.
std::vector<std::string> candidates(const MemoryGroup& group) {
  if (group.version_1) {
    return {"/sys/fs/cgroup/memory" + group.path + "/memory.oom_control",
            "/sys/fs/cgroup/memory/memory.oom_control"};
  }
  return {"/sys/fs/cgroup" + group.path + "/memory.events", "/sys/fs/cgroup/memory.events"};
}

template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    visit(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
}

bool has_memory(std::string_view controllers) {
  return ("," + std::string(controllers) + ",").find(",memory,") != std::string::npos;
}

}  // namespace

OomCounter::OomCounter() : path_("/proc/vmstat") {
  const auto group = parse_memory_group(read_file("/proc/self/cgroup"));
  if (!group) return;
  for (const auto& path : candidates(*group)) {
    if (!parse_oom_kill(read_file(path))) continue;
    path_ = path;
    return;
  }
}

std::optional<std::uint64_t> OomCounter::read() const {
  return parse_oom_kill(read_file(path_));
}

std::optional<std::uint64_t> parse_oom_kill(std::string_view text) {
  constexpr std::string_view kWord = "oom_kill ";
  std::optional<std::uint64_t> found;
  for_each_line(text, [&found, kWord](std::string_view line) {
    if (!line.starts_with(kWord)) return;
    std::uint64_t value = 0;
    line.remove_prefix(kWord.size());
    const auto result = std::from_chars(line.data(), line.data() + line.size(), value);
    if (result.ec == std::errc()) found = value;
  });
  return found;
}

std::optional<MemoryGroup> parse_memory_group(std::string_view text) {
  // A line is hierarchy:controllers:path; version 2 is "0::path". A version 1 memory controller,
  // where there is one, is the one that counts.
  std::optional<MemoryGroup> found;
  for_each_line(text, [&found](std::string_view line) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) return;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (has_memory(controllers)) found = MemoryGroup{path, true};
    if (controllers.empty() && !found) found = MemoryGroup{path, false};
  });
  return found;
}

}  // namespace knee::process
