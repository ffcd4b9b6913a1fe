// Tasks of a fixed amount of work against bare loops that do the same work in processes of their
// own.
//   efficiency calibrate                   steps of work in a millisecond
//   efficiency bare PROCESSES TASKS STEPS  each process runs its share of TASKS times STEPS
//   efficiency knee TASKS STEPS            a bag of TASKS tasks

#include <knee/knee.h>

#include "bench/harness.h"
#include "bench/sockets.h"

namespace {

using namespace knee::bench;

/// Keeps one core busy without touching memory.
std::uint64_t work(std::uint64_t steps) {
  std::uint64_t state = steps | 1;
  for (std::uint64_t i = 0; i < steps; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
  }
  return state;
}

volatile std::uint64_t kept;

double steps_per_ms() {
  constexpr std::uint64_t kSteps = 1'000'000;
  double fastest = 1e9;  // the least disturbed
  for (int i = 0; i < 200; ++i)
    fastest = std::min(fastest, seconds_of([] { kept = work(kSteps); }));
  return kSteps / fastest / 1e3;
}

double bare_seconds(std::uint64_t processes, std::uint64_t tasks, std::uint64_t steps) {
  int gate[2];
  checked(::pipe(gate), "pipe");
  for (std::uint64_t p = 0; p < processes; ++p) {
    if (checked(::fork(), "fork") != 0) continue;
    ::close(gate[1]);
    char byte;
    (void)!::read(gate[0], &byte, 1);  // until the parent opens it
    for (std::uint64_t i = 0; i < tasks / processes; ++i) kept = work(steps);
    ::_exit(0);
  }
  ::usleep(20'000);  // they wait at the gate
  return seconds_of([&] {
    ::close(gate[1]);
    for (std::uint64_t p = 0; p < processes; ++p) checked(::wait(nullptr), "wait");
  });
}

double knee_seconds(knee::Cluster& cluster, std::uint64_t tasks, std::uint64_t steps) {
  const auto run = [&](std::uint64_t count) {
    auto bag = cluster.bag();
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < count; ++i)
      bag.call<work>(steps).then([&sum](std::uint64_t value) { sum += value; });
    bag.wait();
  };
  run(4);
  return seconds_of([&] { run(tasks); });
}

}  // namespace

int main(int argc, char** argv) {
  knee::serve_if_worker();
  const std::string mode = argument(argc, argv, 1, "calibrate");
  const auto number = [&](int index) { return argument(argc, argv, index, std::uint64_t{2}); };
  Report report;
  if (mode == "calibrate") {
    report.add("steps_per_ms", steps_per_ms());
  } else if (mode == "bare") {
    report.add("seconds", bare_seconds(number(2), number(3), number(4)));
  } else {
    knee::Cluster cluster(argc, argv);
    report.add("seconds", knee_seconds(cluster, number(2), number(3)));
  }
  report.print();
}
