#include "machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/process/stat.h"

namespace knee::slave {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The path of this process in a cgroup hierarchy: `controller` empty for v2.
std::string cgroup_path(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controller.empty() ? names == ",," : names.find("," + controller + ",") != names.npos)
      return line.substr(second + 1);
  }
  return "/";
}

double quota_v2() {
  std::istringstream line(first_line("/sys/fs/cgroup" + cgroup_path("") + "/cpu.max"));
  double quota = 0;
  double period = 0;
  return line >> quota >> period && period > 0 ? quota / period : 0;  // "max 100000" does not parse
}

double quota_v1() {
  const std::string folder = "/sys/fs/cgroup/cpu" + cgroup_path("cpu");
  const double quota = std::atof(first_line(folder + "/cpu.cfs_quota_us").c_str());
  const double period = std::atof(first_line(folder + "/cpu.cfs_period_us").c_str());
  return quota > 0 && period > 0 ? quota / period : 0;
}

std::uint64_t cgroup_memory_limit() {
  for (const auto& path : {"/sys/fs/cgroup" + cgroup_path("") + "/memory.max",
                           "/sys/fs/cgroup/memory" + cgroup_path("memory") + "/memory.limit_in_bytes"})
    if (const auto limit = std::strtoull(first_line(path).c_str(), nullptr, 10); limit != 0)
      return limit;
  return 0;
}

}  // namespace

std::uint32_t usable_cores() {
  cpu_set_t set;
  int cores = ::sched_getaffinity(0, sizeof set, &set) == 0
                  ? CPU_COUNT(&set)
                  : static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  for (const double quota : {quota_v2(), quota_v1()})
    if (quota > 0) cores = std::min(cores, static_cast<int>(std::ceil(quota)));
  return static_cast<std::uint32_t>(std::max(cores, 1));
}

Memory memory() {
  Memory memory;
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t kilobytes = 0;
    fields >> name >> kilobytes;
    if (name == "MemTotal:") memory.total = kilobytes * 1024;
    if (name == "MemAvailable:") memory.available = kilobytes * 1024;
  }
  if (const auto limit = cgroup_memory_limit(); limit != 0 && limit < memory.total) {
    memory.total = limit;
    memory.available = std::min(memory.available, limit);
  }
  return memory;
}

float load() {
  double average = 0;
  return ::getloadavg(&average, 1) == 1 ? static_cast<float>(average) : 0;
}

std::uint64_t own_memory() {
  const auto stat = process::read_stat(::getpid());
  return stat ? stat->resident : 0;
}

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace knee::slave
