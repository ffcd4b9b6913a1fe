// What a queued task costs the driver's memory, while no slave is there to take it.
//   queued_memory [TASKS]

#include <knee/knee.h>
#include <unistd.h>

#include "bench/harness.h"

namespace {

std::uint64_t same(std::uint64_t value) {
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace knee::bench;
  const auto tasks = argument(argc, argv, 1, std::uint64_t{1'000'000});
  knee::ClusterOptions options;
  options.slaves = {"unix:/nonexistent/knee.sock"};
  knee::Cluster cluster(std::move(options));
  auto bag = cluster.bag();
  std::uint64_t sum = 0;
  const auto add = [&](std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i)
      bag.call<same>(i).then([&sum](std::uint64_t value) { sum += value; });
    (void)cluster.slots();  // the RPC thread has taken what was submitted
  };
  add(1000);
  const double before = memory_of("self", "VmRSS");
  const double seconds = seconds_of([&] { add(tasks); });
  const double after = memory_of("self", "VmRSS");
  Report report;
  report.add("bytes_per_task", (after - before) / static_cast<double>(tasks));
  report.add("submitted_per_s", static_cast<double>(tasks) / seconds);
  report.print();
  ::_exit(0);  // the queue need not be cancelled task by task
}
