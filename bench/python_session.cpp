// A Python session: iteration over a remote list, bytes and an array fetched, an array sent, and
// calls of a function; each seven times, one after the other.
//   python_session

#include <knee/knee.h>

#include "bench/harness.h"

int main(int argc, char** argv) {
  using namespace knee::bench;
  knee::Cluster cluster(argc, argv);
  const auto py = cluster.slave(cluster.describe().at(0).name).python();
  constexpr std::size_t kItems = 100'000;
  constexpr std::size_t kBytes = std::size_t{8} << 20;
  constexpr std::size_t kNumbers = 8'000'000;
  py.execute(
      "items = list(range(100000))\ndata = bytes(8 << 20)\n"
      "import numpy\narray = numpy.zeros(8000000)\n"
      "def same(i): return i\n");
  const auto items = py["items"];
  const auto data = py["data"];
  const auto array = py["array"];
  const auto same = py["same"];
  const auto length = py.builtins("len");
  constexpr int kCalls = 1000;
  const std::vector<double> numbers(kNumbers, 0.5);
  // Each seven times in a row, as the plain stream runs in one go: after half a second of other
  // things the host of a virtual machine has taken back what was freed.
  const auto seven = [](auto work) {
    std::vector<double> seconds;
    for (int i = 0; i < 7; ++i) seconds.push_back(seconds_of(work));
    return median(seconds);
  };
  const double iterate = seven([&] {
    std::size_t count = 0;
    for (const auto& item : items) count += item.as_integer() >= 0 ? 1 : 0;
    if (count != kItems) throw std::runtime_error("items are missing");
  });
  const double fetch = seven([&] {
    if (data.get<knee::Value>().as_bytes().size() != kBytes)
      throw std::runtime_error("bytes are missing");
  });
  const double in = seven([&] {
    if (length(numbers).get<std::size_t>() != kNumbers)
      throw std::runtime_error("the argument arrived short");
  });
  const double out = seven([&] {
    if (array.get<std::vector<double>>().size() != kNumbers)
      throw std::runtime_error("the result arrived short");
  });
  const double eval = seven([&] {
    for (int n = 0; n < kCalls; ++n) (void)py.eval("1").get<int>();
  });
  const double call = seven([&] {
    for (int n = 0; n < kCalls; ++n)
      if (same(n).get<int>() != n) throw std::runtime_error("a wrong number came back");
  });
  constexpr double kMega = 1e6;
  Report report;
  report.add("items_per_s", static_cast<double>(kItems) / iterate);
  report.add("bytes_mb_per_s", static_cast<double>(kBytes) / fetch / kMega);
  report.add("in_mb_per_s", static_cast<double>(kNumbers * sizeof(double)) / in / kMega);
  report.add("out_mb_per_s", static_cast<double>(kNumbers * sizeof(double)) / out / kMega);
  report.add("eval_us", eval * kMega / kCalls);
  report.add("function_us", call * kMega / kCalls);
  report.print();
}
