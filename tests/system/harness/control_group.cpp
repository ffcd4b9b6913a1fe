#include "control_group.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "tests/system/harness/child_process.h"
#include "tests/system/harness/wait_until.h"

namespace knee::test {
namespace {

/// Where the groups of a controller are, and which of them is ours.
struct Place {
  bool version_1;
  std::string root;
  std::string path;
};

/// A line of /proc/self/cgroup is hierarchy:controllers:path; version 2 is "0::path".
std::optional<Place> place_of(const std::string& controller) {
  std::optional<Place> found;
  std::istringstream lines(content_of("/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers.find("," + controller + ",") != line.npos)
      return Place{true, "/sys/fs/cgroup/" + controller, path};
    if (controllers == ",,") found = Place{false, "/sys/fs/cgroup", path};
  }
  return found;
}

}  // namespace

std::unique_ptr<ControlGroup> ControlGroup::below(const std::string& parent) {
  const std::string folder = parent + "/knee-test-" + std::to_string(::getpid());
  if (::mkdir(folder.c_str(), 0755) != 0) return nullptr;
  auto group = std::make_unique<ControlGroup>(folder);
  // Or this is some other file system.
  return std::filesystem::exists(folder + "/cgroup.procs") ? std::move(group) : nullptr;
}

bool ControlGroup::limit(const std::string& file, const std::string& text) const {
  if (!std::filesystem::exists(folder_ + "/" + file)) return false;
  std::ofstream out(folder_ + "/" + file);
  out << text << std::flush;
  return out.good();
}

std::unique_ptr<ControlGroup> ControlGroup::with_memory(std::uint64_t bytes) {
  const auto place = place_of("memory");
  if (!place) return nullptr;
  const std::string text = std::to_string(bytes);
  // A container may see its own group as the root.
  for (const auto& parent : {place->root + place->path, place->root}) {
    auto group = below(parent);
    if (!group) continue;
    if (!group->limit(place->version_1 ? "memory.limit_in_bytes" : "memory.max", text)) continue;
    // Where there is no swap, or nobody counts it, there is nothing to forbid.
    group->limit("memory.memsw.limit_in_bytes", text);
    group->limit("memory.swap.max", "0");
    return group;
  }
  return nullptr;
}

std::unique_ptr<ControlGroup> ControlGroup::with_cores(unsigned cores) {
  constexpr unsigned kPeriod = 100'000;  // microseconds
  const auto place = place_of("cpu");
  if (!place) return nullptr;
  auto group = below(place->root + place->path);
  if (!group) return nullptr;
  const std::string period = std::to_string(kPeriod);
  const std::string quota = std::to_string(cores * kPeriod);
  const bool limited = place->version_1 ? group->limit("cpu.cfs_period_us", period) &&
                                              group->limit("cpu.cfs_quota_us", quota)
                                        : group->limit("cpu.max", quota + " " + period);
  return limited ? std::move(group) : nullptr;
}

ControlGroup::~ControlGroup() {
  (void)wait_until([this] { return ::rmdir(folder_.c_str()) == 0 || errno == ENOENT; });
}

std::vector<std::string> ControlGroup::around() const {
  return {"sh", "-c", "echo $$ > " + folder_ + "/cgroup.procs && exec \"$@\"", "sh"};
}

}  // namespace knee::test
