// A bag of tasks that do nothing, each with its own promise and callback.
//   noop_bag [TASKS]

#include <knee/knee.h>

#include "bench/harness.h"

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

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const auto tasks = knee::bench::argument(argc, argv, 1, std::uint64_t{1'000'000});
  run(cluster, 20'000);  // workers are there and have run
  knee::bench::Report report;
  report.add("tasks_per_s", run(cluster, tasks));
  report.print();
}
