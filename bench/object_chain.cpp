// Ten calls, nine of them on what the one before returns, over a link with a delay.
//   object_chain MILLISECONDS   one way

#include <knee/knee.h>

#include <vector>

#include "bench/harness.h"

namespace {

struct Link {
  std::uint64_t depth;
  knee::Ref<Link> next() { return knee::make_ref<Link>(depth + 1); }
};

}  // namespace

int main(int argc, char** argv) {
  using namespace knee::bench;
  knee::Cluster cluster(argc, argv);
  const auto round_trip = 2e-3 * static_cast<double>(argument(argc, argv, 1, std::uint64_t{5}));
  cluster.call<[] {}>().get();  // there is a slave now
  const auto first = cluster.slave(cluster.slaves().front()).make<Link>(std::uint64_t{0});
  first.wait();
  std::vector<double> times;
  for (int i = 0; i < 21; ++i)
    times.push_back(seconds_of([&] {
      auto last = first;
      for (int calls = 1; calls < 10; ++calls) last = last.call<&Link::next>();
      if (last.get<&Link::depth>().get() != 9) throw std::runtime_error("a call is missing");
    }));
  Report report;
  report.add("round_trips", median(times) / round_trip);
  report.print();
}
