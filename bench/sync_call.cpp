// One call after the other, each waited for.
//   sync_call [CALLS]

#include <knee/knee.h>

#include "bench/harness.h"

namespace {

std::uint64_t same(std::uint64_t value) {
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const auto calls = knee::bench::argument(argc, argv, 1, std::uint64_t{10'000});
  for (std::uint64_t i = 0; i < calls / 10 + 1; ++i) cluster.call<same>(i).get();
  std::vector<double> each;
  each.reserve(calls);
  const double seconds = knee::bench::seconds_of([&] {
    for (std::uint64_t i = 0; i < calls; ++i)
      each.push_back(knee::bench::seconds_of([&] { cluster.call<same>(i).get(); }));
  });
  knee::bench::Report report;
  report.add("call_us", seconds / static_cast<double>(calls) * 1e6);
  report.add("median_us", knee::bench::median(each) * 1e6);
  report.print();
}
