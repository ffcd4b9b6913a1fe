#pragma once

#include <cstdint>

namespace knee::simulation {

/// What is simulated. Times in seconds of simulated time.
struct Options {
  std::uint32_t slaves = 10'000;
  std::uint64_t tasks = 10'000'000;
  std::uint64_t seed = 1;
  double mean = 0.5;        ///< run time of a task on a slave of speed 1, log-normal
  double sigma = 0.5;       ///< of its logarithm
  double latency = 0.0005;  ///< one way between driver and slave
  double lifetime = 500;    ///< mean time until a slave dies, 0: they live; dead ones are replaced
  double late = 0.1;        ///< part of the slaves that join while the bag runs
  double join_within = 20;  ///< the late ones join within this time
  double laggards = 0;      ///< part of the attempts that take a hundred times as long
  bool repeatable = false;  ///< twins for stragglers
};

struct Result {
  double makespan = 0;   ///< until the last result arrived
  double ideal = 0;      ///< work that succeeded / capacity that was alive, see simulation.cpp
  double scheduler = 0;  ///< real seconds spent in the scheduler
  std::uint64_t attempts = 0;
  std::uint64_t twins = 0;
  std::uint64_t lost = 0;    ///< attempts that were running or waiting on a slave that died
  std::uint64_t failed = 0;  ///< tasks that used up their attempts
  std::uint64_t messages = 0;
  std::uint64_t decisions = 0;  ///< calls of the scheduler that moved a task
  std::uint64_t bytes = 0;      ///< held by the scheduler when all tasks were queued

  double efficiency() const { return makespan > 0 ? ideal / makespan : 0; }
};

/// Runs one bag to its end. Throws std::logic_error if a task is delivered twice or never.
Result run(const Options& options);

/// Submits, gives out and finishes `tasks` no-op tasks; processor seconds for each of the steps.
struct StepCost {
  double submit, take, finish;
};
StepCost measure_steps(std::uint64_t tasks, std::uint32_t slaves);

}  // namespace knee::simulation
