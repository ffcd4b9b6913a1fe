// Many tasks made from a range as slaves have room: what they cost in time and memory.
//   lazy_map [TASKS]

#include <knee/knee.h>

#include <ranges>

#include "bench/harness.h"
#include "bench/processes.h"

namespace {

std::uint64_t same(std::uint64_t value) {
  return value;
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
  const auto slave = local_slave();
  if (!slave)
    throw std::runtime_error("cannot find the local slave among the children of this process");
  Report report;
  report.add("tasks_per_s", static_cast<double>(tasks) / seconds);
  report.add("driver_peak_mb", memory_of("self", "VmHWM") / 1e6);
  report.add("slave_peak_mb", memory_of(*slave, "VmHWM") / 1e6);
  report.print();
}
