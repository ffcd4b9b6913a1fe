// A Python session on a slave: statements, modules, objects, a callback, arrays, and a promise.
#include <knee/knee.h>

#include <cmath>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const auto slaves = cluster.describe();
  const knee::Python py = cluster.slave(slaves.at(0).name).python();

  py.execute("n = 2");
  std::cout << "n + 1 is " << py.eval("n + 1").get<int>() << '\n';

  // Nobody waits before `get`: all of this is one round trip.
  const knee::Object statistics = py.module("statistics");
  std::cout << "median " << statistics.call("median", std::vector{3.0, 1.0, 2.0}).get<double>()
            << '\n';

  // Python calls a function of this program.
  const auto square = knee::callback([](double x) { return x * x; });
  const auto squares = py.builtins("list")(py.builtins("map")(square, std::vector{1.0, 2.0, 3.0}));
  for (const double x : squares.get<std::vector<double>>()) std::cout << x << ' ';
  std::cout << '\n';

  // A class there, an object of it, and a call that takes its time.
  py.execute(R"(
import time

class Instrument:
    def __init__(self, delay): self.delay = delay
    def measure(self, points):
        time.sleep(self.delay)
        return [p * 0.5 for p in points]
)");
  const knee::Object instrument = py["Instrument"](0.2);
  auto later = instrument.async_call("measure", std::vector{1.0, 2.0});
  std::cout << (later.ready() ? "ready" : "measuring ...") << '\n';
  for (const double value : later.get().get<std::vector<double>>()) std::cout << value << ' ';
  std::cout << '\n';

  // What goes wrong there is thrown here.
  try {
    py.eval("1 / 0").get<int>();
  } catch (const knee::Error& error) {
    std::cout << error.exception_type() << ": " << error.exception_text() << '\n';
  }
}
