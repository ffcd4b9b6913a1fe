#include <knee/cluster.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <vector>

#include "cli/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t size_of(const std::vector<char>& bytes) {
  return bytes.size();
}
/// Made by the first call only: what is measured is the way back, not the making.
const std::vector<char>& kept(std::uint64_t size) {
  static const std::vector<char> bytes(size, 'x');
  return bytes;
}
int same(int x) {
  return x;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct SlaveSpeed {
  std::string name;
  double round_trip = 0;  ///< seconds, of a call one waits for; the median
  double to = 0;          ///< bytes per second of a large argument
  double from = 0;        ///< the same of a large result
};

double median_round_trip(const Slave& slave, int calls) {
  std::vector<double> times;
  for (int i = 0; i < calls; ++i) {
    const auto start = Clock::now();
    slave.call<same>(i).get();
    times.push_back(seconds_since(start));
  }
  std::nth_element(times.begin(), times.begin() + calls / 2, times.end());
  return times[static_cast<std::size_t>(calls) / 2];
}

/// Bytes per second of a call that moves so many.
template <class Call>
double bandwidth(std::size_t bytes, Call call) {
  call();  // makes room for them at both ends
  const auto start = Clock::now();
  call();
  return static_cast<double>(bytes) / seconds_since(start);
}

SlaveSpeed measure(const Slave& slave, std::size_t bytes) {
  SlaveSpeed speed;
  speed.name = slave.name();
  slave.call<same>(0).get();  // its worker starts
  speed.round_trip = median_round_trip(slave, 200);
  const std::vector<char> data(bytes, 'x');
  speed.to = bandwidth(bytes, [&] { slave.call<size_of>(data).get(); });
  speed.from = bandwidth(bytes, [&] {
    if (slave.call<kept>(bytes).get().size() != bytes)
      throw std::runtime_error("a result came back from slave " + slave.name() +
                               " with another size than it was made with");
  });
  return speed;
}

/// Empty tasks per second through all slaves together.
double task_rate(Cluster& cluster, double for_seconds) {
  auto bag = cluster.bag({.name = "bench"});
  std::uint64_t tasks = 0;
  const auto start = Clock::now();
  for (std::uint64_t round = 1000; seconds_since(start) < for_seconds; round *= 2) {
    for (std::uint64_t i = 0; i < round; ++i) {
      auto unread = bag.call<same>(1);
    }
    bag.wait();
    tasks += round;
  }
  return static_cast<double>(tasks) / seconds_since(start);
}

void print_text(const std::vector<SlaveSpeed>& speeds, double rate, unsigned slots) {
  Table table({"NAME", "ROUND TRIP", "TO IT", "FROM IT"});
  for (const auto& speed : speeds)
    table.add({speed.name, time_text(speed.round_trip), size_text(speed.to) + "/s",
               size_text(speed.from) + "/s"});
  table.print(std::cout);
  std::printf("%.0f empty tasks/s on %u slots\n", rate, slots);
}

void print_as_json(const std::vector<SlaveSpeed>& speeds, double rate, unsigned slots) {
  boost::json::array slaves;
  for (const auto& speed : speeds)
    slaves.push_back(boost::json::object{{"name", speed.name},
                                         {"round_trip_s", speed.round_trip},
                                         {"to_bytes_per_s", speed.to},
                                         {"from_bytes_per_s", speed.from}});
  print_json(std::cout,
             boost::json::object{{"slaves", slaves}, {"tasks_per_s", rate}, {"slots", slots}});
}

int bench(ClusterOptions options, bool json, double megabytes, double for_seconds) {
  options.progress = false;
  Cluster cluster(std::move(options));
  cluster.call<same>(0).get();  // until there is a slave
  std::vector<SlaveSpeed> speeds;
  for (const auto& slave : cluster.describe()) {
    if (!slave.connected)
      std::cerr << "knee: without " << slave.name << ": " << slave.error << '\n';
    else
      speeds.push_back(
          measure(cluster.slave(slave.name), static_cast<std::size_t>(megabytes * 1e6)));
  }
  const double rate = task_rate(cluster, for_seconds);
  if (json)
    print_as_json(speeds, rate, cluster.slots());
  else
    print_text(speeds, rate, cluster.slots());
  return 0;
}

}  // namespace

Verb add_bench(CLI::App& app, const Words&) {
  auto* verb =
      app.add_subcommand("bench", "Measures your slaves: round trip, bandwidth, tasks per second.");
  verb->footer(
      "Other work on the slaves shows in the numbers.\n\nExample:\n"
      "  knee bench --slaves gandalf,frodo --insecure");
  struct Given {
    bool json = false;
    double megabytes = 64;
    double seconds = 2;
  };
  const auto given = std::make_shared<Given>();
  verb->add_flag("--json", given->json, "Print a JSON object; times in seconds, sizes in bytes.");
  verb->add_option("--mb", given->megabytes,
                   "Megabytes to send each way for the bandwidth. Default: 64.")
      ->check(CLI::Range(0.001, 100'000.0));
  verb->add_option("--seconds", given->seconds, "How long to send empty tasks. Default: 2.")
      ->check(CLI::Range(0.001, 100'000.0));
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, given] {
            return bench(slaves.cluster(), given->json, given->megabytes, given->seconds);
          }};
}

}  // namespace knee::cli
