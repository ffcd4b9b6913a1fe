// A Python session: iteration over a remote list, bytes and an array fetched, an array sent, and
// calls of a function, one after the other.
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
  std::vector<double> iterate, fetch, in, out, eval, call;
  const std::vector<double> numbers(kNumbers, 0.5);
  for (int i = 0; i < 7; ++i) {
    iterate.push_back(seconds_of([&] {
      std::size_t count = 0;
      for (const auto& item : items) count += item.as_integer() >= 0 ? 1 : 0;
      if (count != kItems) throw std::runtime_error("items are missing");
    }));
    fetch.push_back(seconds_of([&] {
      if (data.get<knee::Value>().as_bytes().size() != kBytes)
        throw std::runtime_error("bytes are missing");
    }));
    in.push_back(seconds_of([&] {
      if (length(numbers).get<std::size_t>() != kNumbers)
        throw std::runtime_error("the argument arrived short");
    }));
    out.push_back(seconds_of([&] {
      if (array.get<std::vector<double>>().size() != kNumbers)
        throw std::runtime_error("the result arrived short");
    }));
    eval.push_back(seconds_of([&] {
      for (int n = 0; n < kCalls; ++n) (void)py.eval("1").get<int>();
    }));
    call.push_back(seconds_of([&] {
      for (int n = 0; n < kCalls; ++n)
        if (same(n).get<int>() != n) throw std::runtime_error("a wrong number came back");
    }));
  }
  constexpr double kMega = 1e6;
  Report report;
  report.add("items_per_s", static_cast<double>(kItems) / median(iterate));
  report.add("bytes_mb_per_s", static_cast<double>(kBytes) / median(fetch) / kMega);
  report.add("in_mb_per_s", static_cast<double>(kNumbers * sizeof(double)) / median(in) / kMega);
  report.add("out_mb_per_s", static_cast<double>(kNumbers * sizeof(double)) / median(out) / kMega);
  report.add("eval_us", median(eval) * kMega / kCalls);
  report.add("function_us", median(call) * kMega / kCalls);
  report.print();
}
