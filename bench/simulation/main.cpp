// Simulates a bag on many slaves and prints how well and how fast it was scheduled.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "bench/harness.h"
#include "bench/simulation/simulation.h"

namespace {

knee::simulation::StepCost print_steps(std::uint64_t tasks, std::uint32_t slaves) {
  const auto cost = knee::simulation::measure_steps(tasks, slaves);
  const double per = 1e9 / static_cast<double>(tasks);
  std::printf(
      "%llu no-op tasks on %u slaves: submit %.0f ns, take %.0f ns, finish %.0f ns, "
      "together %.0f ns per task\n",
      static_cast<unsigned long long>(tasks), slaves, cost.submit * per, cost.take * per,
      cost.finish * per, (cost.submit + cost.take + cost.finish) * per);
  return cost;
}

void print(const knee::simulation::Options& options, const knee::simulation::Result& result) {
  const auto count = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("slaves %u, tasks %llu, seed %llu\n", options.slaves, count(options.tasks),
              count(options.seed));
  std::printf("makespan %.3f s, ideal %.3f s, efficiency %.2f %%\n", result.makespan, result.ideal,
              100 * result.efficiency());
  std::printf("attempts %llu, twins %llu, lost with their slave %llu, failed for good %llu\n",
              count(result.attempts), count(result.twins), count(result.lost),
              count(result.failed));
  std::printf("messages to slaves %llu, %.2f tasks each\n", count(result.messages),
              static_cast<double>(result.attempts) / static_cast<double>(result.messages));
  std::printf("scheduler %.2f s, %.0f ns per decision (clock reading included)\n", result.scheduler,
              1e9 * result.scheduler / static_cast<double>(result.decisions));
  std::printf("memory with everything queued %.1f MB, %.1f bytes per task\n",
              static_cast<double>(result.bytes) / 1e6,
              static_cast<double>(result.bytes) / static_cast<double>(options.tasks));
}

knee::simulation::Result run_and_print(const knee::simulation::Options& options) {
  auto result = knee::simulation::run(options);
  print(options, result);
  return result;
}

/// All of it in one line for scripts/bench.
void print_json(const knee::simulation::Options& options, const knee::simulation::StepCost& cost,
                const knee::simulation::Result& result) {
  const auto tasks = static_cast<double>(options.tasks);
  knee::bench::Report report;
  report.add("makespan_s", result.makespan);
  report.add("ideal_s", result.ideal);
  report.add("percent", 100 * result.efficiency());
  report.add("lost", static_cast<double>(result.lost));
  report.add("decision_ns", 1e9 * result.scheduler / static_cast<double>(result.decisions));
  report.add("noop_task_ns", 1e9 * (cost.submit + cost.take + cost.finish) / tasks);
  report.add("bytes_per_task", static_cast<double>(result.bytes) / tasks);
  report.print();
}

/// The efficiency reached `least` percent and no task failed for good.
bool is_good(const knee::simulation::Result& result, double least) {
  return 100 * result.efficiency() >= least && result.failed == 0;
}

/// Long tasks on slaves that die and join, short tasks on a LAN, short tasks on slaves far away.
int run_quick() {
  knee::simulation::Options longer{.slaves = 300, .tasks = 200'000, .lifetime = 200};
  longer.repeatable = true;
  knee::simulation::Options shorter{.slaves = 100, .tasks = 500'000, .mean = 0.001};
  knee::simulation::Options far{.slaves = 20, .tasks = 500'000, .mean = 0.001, .latency = 0.02};
  for (auto* calm : {&shorter, &far}) calm->lifetime = calm->late = 0;
  const auto rough = run_and_print(longer);
  const bool slaves_died = rough.lost > 0;
  const bool good =
      is_good(run_and_print(shorter), 95) && is_good(run_and_print(far), 80) && is_good(rough, 90);
  return good && slaves_died ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  knee::simulation::Options options;
  bool quick = false;
  bool json = false;
  double least = 0;
  CLI::App app("Simulates the driver's scheduler");
  app.add_option("--slaves", options.slaves, "How many slaves, of 1 to 8 slots and speed 0.3 to 3")
      ->check(CLI::PositiveNumber);
  app.add_option("--tasks", options.tasks, "How many tasks")->check(CLI::PositiveNumber);
  app.add_option("--seed", options.seed, "Of all that is random");
  app.add_option("--mean", options.mean, "Mean run time of a task in seconds");
  app.add_option("--sigma", options.sigma, "Spread of the logarithm of run times");
  app.add_option("--latency", options.latency, "One way to a slave in seconds");
  app.add_option("--lifetime", options.lifetime, "Mean life of a slave in seconds, 0: for ever");
  app.add_option("--late", options.late, "Part of the slaves that join while the bag runs")
      ->check(CLI::Range(0.0, 0.999));
  app.add_option("--join-within", options.join_within, "When, at the latest, in seconds");
  app.add_option("--laggards", options.laggards, "Part of attempts that take 100 times as long");
  app.add_flag("--repeatable", options.repeatable, "Give stragglers a twin");
  app.add_option("--least-efficiency", least, "Fail below this percentage");
  app.add_flag("--quick", quick, "Three small runs that fail if efficiency is low");
  app.add_flag("--json", json, "Print the figures once more, as one line of JSON");
  CLI11_PARSE(app, argc, argv);
  try {
    if (quick) return run_quick();
    const auto cost = print_steps(options.tasks, options.slaves);
    const auto result = run_and_print(options);
    if (json) print_json(options, cost, result);
    return is_good(result, least) ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "simulation failed: %s\n", error.what());
    return 2;
  }
}
