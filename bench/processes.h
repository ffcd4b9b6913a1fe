#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

/// The processes below a driver, as /proc shows them. A process is a number or "self".
namespace knee::bench {

inline std::vector<std::string> children(const std::string& process) {
  std::vector<std::string> found;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + process + "/task")) {
    std::ifstream list(thread.path() / "children");
    for (std::string child; list >> child;) found.push_back(child);
  }
  return found;
}

/// The child of this process that runs knee-slave. None: its slaves are elsewhere.
inline std::optional<std::string> local_slave() {
  for (const auto& child : children("self")) {
    std::string name;
    std::ifstream("/proc/" + child + "/comm") >> name;
    if (name == "knee-slave") return child;
  }
  return std::nullopt;
}

/// CPU time of all threads of a process, in steps of 10 ms.
inline double cpu_seconds(const std::string& process) {
  std::ifstream file("/proc/" + process + "/stat");
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  // pid (name) state ppid pgrp session tty tpgid flags minflt cminflt majflt cmajflt utime stime
  constexpr int kBeforeTimes = 11;
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int i = 0; i < kBeforeTimes; ++i) fields >> skipped;
  double user = 0;
  double system = 0;
  if (!(fields >> user >> system))
    throw std::runtime_error("cannot read the CPU time of process " + process);
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

/// The same of all processes below it together.
inline double cpu_seconds_below(const std::string& process) {
  double sum = 0;
  for (const auto& child : children(process)) sum += cpu_seconds(child) + cpu_seconds_below(child);
  return sum;
}

}  // namespace knee::bench
