// 200 tasks of 20 ms on two slots, without and with a worker killed in their middle.

#include <knee/knee.h>
#include <signal.h>
#include <unistd.h>

#include "bench/harness.h"

namespace {

constexpr int kTasks = 200;

int work_20_ms() {
  const auto start = knee::bench::Clock::now();
  while (knee::bench::seconds_since(start) < 0.020) {
  }
  return ::getpid();
}

double run(knee::Cluster& cluster, bool kill_one) {
  return knee::bench::seconds_of([&] {
    int done = 0;
    auto bag = cluster.bag();
    for (int i = 0; i < kTasks; ++i)
      bag.call<work_20_ms>().then([&done, kill_one](int worker) {
        if (++done == kTasks / 2 && kill_one) ::kill(worker, SIGKILL);
      });
    bag.wait();
    if (done != kTasks) throw std::runtime_error("a task got lost");
  });
}

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  run(cluster, false);
  const double unhurt = run(cluster, false);
  const double hurt = run(cluster, true);
  knee::bench::Report report;
  report.add("unhurt_s", unhurt);
  report.add("hurt_s", hurt);
  report.add("ratio", hurt / unhurt);
  report.print();
}
