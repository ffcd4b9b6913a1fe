#include "machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "common/base/affinity.h"
#include "common/process/stat.h"

namespace knee::slave {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string all_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

double quota_v2(const std::string& folder) {
  return cgroup::cpu_max(first_line(folder + "/cpu.max"));
}

double quota_v1(const std::string& folder) {
  return cgroup::cfs_quota(first_line(folder + "/cpu.cfs_quota_us"),
                           first_line(folder + "/cpu.cfs_period_us"));
}

std::uint64_t limit_v2(const std::string& folder) {
  return cgroup::memory_limit(first_line(folder + "/memory.max"));
}

std::uint64_t limit_v1(const std::string& folder) {
  return cgroup::memory_limit(first_line(folder + "/memory.limit_in_bytes"));
}

/// The least limit of the cgroup of this process and those above it, which bind it as well. 0:
/// none.
template <class Read>
auto least(const std::string& mount, const std::string& controller, Read read) {
  decltype(read(mount)) least = 0;
  for (const auto& path : cgroup::paths(all_of("/proc/self/cgroup"), controller))
    if (const auto limit = read(mount + path); limit > 0 && (least == 0 || limit < least))
      least = limit;
  return least;
}

std::uint64_t cgroup_memory_limit() {
  const auto v2 = least("/sys/fs/cgroup", "", limit_v2);
  return v2 != 0 ? v2 : least("/sys/fs/cgroup/memory", "memory", limit_v1);
}

}  // namespace

std::vector<std::string> cgroup::paths(const std::string& text, const std::string& controller) {
  std::string path = "/";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':');
    if (first == line.npos) continue;
    const auto second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controller.empty() ? names == ",," : names.find("," + controller + ",") != names.npos) {
      path = line.substr(second + 1);
      break;
    }
  }
  std::vector<std::string> all;
  for (; path.size() > 1; path.resize(path.rfind('/'))) {
    all.push_back(path);
    if (path.rfind('/') == path.npos) break;
  }
  all.emplace_back("");
  return all;
}

double cgroup::cpu_max(const std::string& text) {
  std::istringstream line(text);
  double quota = 0;
  double period = 0;
  if (!(line >> quota >> period)) return 0;  // "max 100000"
  return quota > 0 && period > 0 ? quota / period : 0;
}

double cgroup::cfs_quota(const std::string& quota, const std::string& period) {
  return cpu_max(quota + " " + period);
}

std::uint64_t cgroup::memory_limit(const std::string& text) {
  return std::strtoull(text.c_str(), nullptr, 10);  // "max" is 0
}

Memory meminfo(const std::string& text) {
  Memory memory;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string name;
    std::uint64_t kilobytes = 0;
    fields >> name >> kilobytes;
    if (name == "MemTotal:") memory.total = kilobytes * 1024;
    if (name == "MemAvailable:") memory.available = kilobytes * 1024;
  }
  return memory;
}

std::uint32_t usable_cores() {
  int cores = allowed_cores();
  for (const double quota :
       {least("/sys/fs/cgroup", "", quota_v2), least("/sys/fs/cgroup/cpu", "cpu", quota_v1)})
    if (quota > 0) cores = std::min(cores, static_cast<int>(std::ceil(quota)));
  return static_cast<std::uint32_t>(std::max(cores, 1));
}

Memory memory() {
  Memory memory = meminfo(all_of("/proc/meminfo"));
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

std::string pretty_name(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    std::string name;
    bool escaped = false;
    // As a shell would read it; the quotes are around all of it or missing.
    for (const char c : line.substr(12)) {
      if (!escaped && c == '\\')
        escaped = true;
      else if (escaped || (c != '"' && c != '\''))
        name += c, escaped = false;
    }
    return name;
  }
  return {};
}

std::string system_name() {
  const auto name = pretty_name(all_of("/etc/os-release"));
  return name.empty() ? pretty_name(all_of("/usr/lib/os-release")) : name;
}

std::string kernel_name() {
  utsname names{};
  ::uname(&names);
  return std::string(names.sysname) + " " + names.release;
}

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

}  // namespace knee::slave
