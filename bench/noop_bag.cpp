// A bag of tasks that do nothing, each with its own promise and callback; with a local slave also
// whose CPU time it takes.
//   noop_bag [TASKS]

#include <knee/knee.h>

#include "bench/harness.h"
#include "bench/processes.h"

namespace {

std::uint64_t same(std::uint64_t value) {
  return value;
}

double run(knee::Cluster& cluster, std::uint64_t tasks) {
  std::uint64_t sum = 0;
  const double seconds = knee::bench::seconds_of([&] {
    auto bag = cluster.bag();
    for (std::uint64_t i = 0; i < tasks; ++i)
      bag.call<same>(i).then([&sum](std::uint64_t value) { sum += value; });
    bag.wait();
  });
  if (sum != tasks * (tasks - 1) / 2) throw std::runtime_error("a wrong sum came back");
  return static_cast<double>(tasks) / seconds;
}

/// CPU seconds up to now.
struct CpuTime {
  double driver, slave, workers;  // with the workers their keepers
};

CpuTime cpu_time(const std::string& slave) {
  using namespace knee::bench;
  return {cpu_seconds("self"), cpu_seconds(slave), cpu_seconds_below(slave)};
}

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const auto tasks = knee::bench::argument(argc, argv, 1, std::uint64_t{1'000'000});
  run(cluster, 20'000);  // workers are there and have run
  const auto slave = knee::bench::local_slave();
  const CpuTime before = slave ? cpu_time(*slave) : CpuTime{};
  knee::bench::Report report;
  report.add("tasks_per_s", run(cluster, tasks));
  if (slave) {
    const CpuTime after = cpu_time(*slave);
    const double us_each = 1e6 / static_cast<double>(tasks);
    report.add("driver_cpu_us", (after.driver - before.driver) * us_each);
    report.add("slave_cpu_us", (after.slave - before.slave) * us_each);
    report.add("workers_cpu_us", (after.workers - before.workers) * us_each);
  }
  report.print();
}
