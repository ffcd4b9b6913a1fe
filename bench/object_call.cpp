// Calls on a live object: one after the other, each waited for, and many at a time; and calls from
// a task back into the driver.
//   object_call [CALLS]

#include <knee/knee.h>

#include <vector>

#include "bench/harness.h"

namespace {

struct Echo {
  std::uint64_t same(std::uint64_t value) { return value; }
};

/// us of each call.
double call_back(std::uint64_t calls, const knee::Function<std::uint64_t(std::uint64_t)>& same) {
  return knee::bench::seconds_of([&] {
           for (std::uint64_t i = 0; i < calls; ++i) same(i);
         }) /
         static_cast<double>(calls) * 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const auto calls = knee::bench::argument(argc, argv, 1, std::uint64_t{10'000});
  cluster.call<[] {}>().get();  // there is a slave now
  const auto echo = cluster.slave(cluster.slaves().front()).make<Echo>();
  const auto call = [&](std::uint64_t value) { return echo.call<&Echo::same>(value); };
  for (std::uint64_t i = 0; i < calls / 10 + 1; ++i) call(i).get();

  std::vector<double> each;
  each.reserve(calls);
  const double seconds = knee::bench::seconds_of([&] {
    for (std::uint64_t i = 0; i < calls; ++i)
      each.push_back(knee::bench::seconds_of([&] { call(i).get(); }));
  });

  constexpr std::uint64_t kInFlight = 1000;
  const double pipelined = knee::bench::seconds_of([&] {
    for (std::uint64_t done = 0; done < calls; done += kInFlight) {
      std::vector<knee::Promise<std::uint64_t>> results;
      for (std::uint64_t i = 0; i < kInFlight; ++i) results.push_back(call(i));
      for (auto& result : results) result.get();
    }
  });

  const auto same = [](std::uint64_t value) { return value; };
  cluster.call<call_back>(calls / 10 + 1, same).get();

  knee::bench::Report report;
  report.add("call_us", seconds / static_cast<double>(calls) * 1e6);
  report.add("median_us", knee::bench::median(each) * 1e6);
  report.add("pipelined_per_s", static_cast<double>(calls) / pipelined);
  report.add("callback_us", cluster.call<call_back>(calls, same).get());
  report.print();
}
