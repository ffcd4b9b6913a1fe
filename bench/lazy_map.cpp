// Many tasks made from a range as slaves have room: what they cost in time and memory.
//   lazy_map [TASKS]

#include <knee/knee.h>
#include <unistd.h>

#include <filesystem>
#include <ranges>

#include "bench/harness.h"

namespace {

std::uint64_t same(std::uint64_t value) {
  return value;
}

/// The local slave's process: the child of this one that runs knee-slave.
std::string local_slave() {
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream children(thread.path() / "children");
    for (std::string child; children >> child;) {
      std::string name;
      std::ifstream("/proc/" + child + "/comm") >> name;
      if (name == "knee-slave") return child;
    }
  }
  throw std::runtime_error("cannot find the local slave among the children of this process");
}

}  // namespace

int main(int argc, char** argv) {
  using namespace knee::bench;
  knee::Cluster cluster(argc, argv);
  const auto tasks = argument(argc, argv, 1, std::uint64_t{10'000'000});
  cluster.call<same>(1).get();
  auto bag = cluster.bag();
  std::uint64_t sum = 0;
  const double seconds = seconds_of([&] {
    for (const auto& [index, value] : bag.map<same>(std::views::iota(std::uint64_t{0}, tasks)))
      sum += value;
  });
  if (sum != tasks * (tasks - 1) / 2) throw std::runtime_error("a wrong sum came back");
  Report report;
  report.add("tasks_per_s", static_cast<double>(tasks) / seconds);
  report.add("driver_peak_mb", memory_of("self", "VmHWM") / 1e6);
  report.add("slave_peak_mb", memory_of(local_slave(), "VmHWM") / 1e6);
  report.print();
}
