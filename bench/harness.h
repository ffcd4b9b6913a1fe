#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// What the benchmark programs share: a clock, medians, memory readings, and the one line of JSON
/// that each of them prints for scripts/bench.
namespace knee::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Seconds that `work` takes.
template <class Work>
double seconds_of(Work&& work) {
  const auto start = Clock::now();
  work();
  return seconds_since(start);
}

/// Of at least one value.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// A line such as "VmRSS" or "VmHWM" of /proc/PID/status, in bytes. `process` is a number or
/// "self".
inline double memory_of(const std::string& process, const std::string& line) {
  std::ifstream status("/proc/" + process + "/status");
  for (std::string text; std::getline(status, text);)
    if (text.starts_with(line + ":")) return std::stod(text.substr(line.size() + 1)) * 1024;
  throw std::runtime_error("cannot read " + line + " of process " + process);
}

/// The numbered argument, or `fallback` when there are fewer.
inline std::string argument(int argc, char** argv, int index, const std::string& fallback) {
  return index < argc ? argv[index] : fallback;
}
inline std::uint64_t argument(int argc, char** argv, int index, std::uint64_t fallback) {
  return index < argc ? std::stoull(argv[index]) : fallback;
}

/// Named figures of one run, printed as one JSON object.
class Report {
 public:
  void add(const std::string& name, double value) { figures_.emplace_back(name, value); }
  void print() const {
    std::string text = "{";
    for (const auto& [name, value] : figures_)
      text += (text.size() > 1 ? ", \"" : "\"") + name + "\": " + std::to_string(value);
    std::printf("%s}\n", text.c_str());
    std::fflush(stdout);
  }

 private:
  std::vector<std::pair<std::string, double>> figures_;
};

}  // namespace knee::bench
