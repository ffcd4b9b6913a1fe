// A large vector as a task's argument, and as its result.
//   large_value [MEBIBYTES]

#include <knee/knee.h>

#include "bench/harness.h"

namespace {

using Vector = std::vector<std::uint64_t>;

std::uint64_t size_of(const Vector& values) {
  return values.size();
}

/// Made by the first call only: what is measured is the way back, not the making.
const Vector& kept(std::uint64_t size) {
  static const Vector values(size, 7);
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace knee::bench;
  knee::Cluster cluster(argc, argv);
  const auto bytes = argument(argc, argv, 1, std::uint64_t{64}) * 1024 * 1024;
  const Vector values(bytes / sizeof(std::uint64_t), 5);
  (void)cluster.call<size_of>(values).get();  // the worker is there
  std::vector<double> in;
  std::vector<double> out;
  for (int i = 0; i < 7; ++i) {
    in.push_back(seconds_of([&] {
      if (cluster.call<size_of>(values).get() != values.size())
        throw std::runtime_error("the argument arrived short");
    }));
    out.push_back(seconds_of([&] {
      if (cluster.call<kept>(values.size()).get().size() != values.size())
        throw std::runtime_error("the result arrived short");
    }));
  }
  Report report;
  report.add("in_mb_per_s", static_cast<double>(bytes) / median(in) / 1e6);
  report.add("out_mb_per_s", static_cast<double>(bytes) / median(out) / 1e6);
  report.print();
}
