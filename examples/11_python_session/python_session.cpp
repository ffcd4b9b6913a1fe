// A Python session on a slave: statements, files, modules, objects, a callback, arrays, a promise.
#include <knee/knee.h>

#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const auto slaves = cluster.describe();
  const knee::Python py = cluster.slave(slaves.at(0).name).python();

  py.execute("n = 2");
  std::cout << "n + 1 is " << py.eval("n + 1").get<int>() << '\n';
  py.execute("print('what Python prints there is printed here')");

  // Nobody waits before `get`: all of this is one round trip.
  const knee::Object statistics = py.module("statistics");
  std::cout << "median " << statistics.call("median", std::vector{3.0, 1.0, 2.0}).get<double>()
            << '\n';

  // Python calls a function of this program.
  const auto square = knee::callback([](double x) { return x * x; });
  const auto squares = py.builtins("list")(py.builtins("map")(square, std::vector{1.0, 2.0, 3.0}));
  for (const double x : squares.get<std::vector<double>>()) std::cout << x << ' ';
  std::cout << '\n';

  // A folder there with a module: usually it is there already.
  const std::string folder = py.module("tempfile")
                                 .call("mkdtemp", knee::named("prefix", "instruments-"))
                                 .get<std::string>();
  const knee::Object written = py.builtins("open")(folder + "/instrument.py", "w");
  knee::RemoteStream(written) << R"(import time

class Instrument:
    def __init__(self, delay): self.delay = delay
    def measure(self, points):
        time.sleep(self.delay)
        return [p * 0.5 for p in points]
)";
  written.call("close").wait();

  // A file there: a std::istream goes wherever an istream goes.
  knee::RemoteStream in(py.builtins("open")(folder + "/instrument.py"));
  std::string line;
  std::getline(in, line);
  std::cout << "its first line is \"" << line << "\"\n";

  // The module from that folder, an object of its class, and a call that takes its time.
  py.module("sys").attr("path").call("append", folder).wait();
  const knee::Object instrument = py.module("instrument").attr("Instrument")(0.0);
  instrument.set("delay", 0.2);
  auto later = instrument.async_call("measure", std::vector{1.0, 2.0});
  std::cout << (later.ready() ? "ready" : "measuring ...") << '\n';
  for (const double value : later.get().get<std::vector<double>>()) std::cout << value << ' ';
  std::cout << '\n';
  py.module("shutil").call("rmtree", folder).wait();

  // What goes wrong there is thrown here.
  try {
    py.eval("1 / 0").get<int>();
  } catch (const knee::Error& error) {
    std::cout << error.exception_type() << ": " << error.exception_text() << '\n';
  }
}
