#include "common/process/stat.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "common/process/descriptor.h"

namespace knee::process {
namespace {

std::chrono::nanoseconds from_ticks(std::uint64_t ticks) {
  const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return std::chrono::nanoseconds(ticks * (1'000'000'000 / per_second));
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

std::optional<ProcessStat> parse_stat(std::string_view line) {
  // pid (name) state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime
  // cutime cstime priority nice threads itrealvalue starttime vsize rss ...
  const auto end_of_name = line.rfind(')');
  if (end_of_name == std::string_view::npos) return std::nullopt;
  ProcessStat stat;
  stat.pid = std::atoi(std::string(line.substr(0, line.find(' '))).c_str());
  unsigned flags = 0;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  std::int64_t pages = 0;
  const std::string rest(line.substr(end_of_name + 1));
  const int found = std::sscanf(rest.c_str(),
                                " %c %d %*d %*d %*d %*d %u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                                " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNd64,
                                &stat.state, &stat.parent, &flags, &user, &system, &pages);
  if (found != 6 || stat.pid <= 0) return std::nullopt;
  constexpr unsigned kExiting = 0x4;  // PF_EXITING of the kernel
  stat.ending = stat.state == 'Z' || (flags & kExiting) != 0;
  stat.cpu_time = from_ticks(user + system);
  if (pages > 0) stat.resident = static_cast<std::uint64_t>(pages * ::sysconf(_SC_PAGESIZE));
  return stat;
}

std::optional<ProcessStat> read_stat(pid_t pid) {
  const auto path = "/proc/" + std::to_string(pid) + "/stat";
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char line[1024];
  const ssize_t size = ::read(file.get(), line, sizeof line);
  if (size <= 0) return std::nullopt;
  return parse_stat({line, static_cast<std::size_t>(size)});
}

std::optional<std::vector<ProcessStat>> read_all_stats() {
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir("/proc"));
  if (!folder || !read_stat(::getpid())) return std::nullopt;
  std::vector<ProcessStat> all;
  while (const dirent* entry = ::readdir(folder.get())) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid <= 0) continue;
    if (auto stat = read_stat(pid)) all.push_back(*stat);
  }
  return all;
}

}  // namespace knee::process
