#include "bench/simulation/simulation.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <queue>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "client/driver/scheduler.h"

namespace knee::simulation {
namespace {

using namespace knee::driver;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Adds real time spent in a scope to a sum.
class Stopwatch {
 public:
  explicit Stopwatch(double& sum) : sum_(sum) {}
  ~Stopwatch() { sum_ += since(start_); }

 private:
  double& sum_;
  Clock::time_point start_ = Clock::now();
};

/// Processor time of this thread: right on a busy machine, but too slow to read for each call.
class ProcessorStopwatch {
 public:
  explicit ProcessorStopwatch(double& sum) : sum_(sum) {}
  ~ProcessorStopwatch() { sum_ += read() - start_; }

 private:
  static double read() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  double& sum_;
  double start_ = read();
};

class Cluster {
 public:
  explicit Cluster(const Options& options) : options_(options), random_(options.seed) {}

  Result run() {
    const auto late = static_cast<std::uint32_t>(options_.late * options_.slaves);
    for (std::uint32_t i = late; i < options_.slaves; ++i) add_machine(0);
    for (std::uint32_t i = 0; i < late; ++i)
      at(uniform(0, options_.join_within), {.at = 0, .what = What::machine_joins});
    submit_all();
    turn();
    while (delivered_ < options_.tasks && !events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.at;
      happen(event);
    }
    if (delivered_ != options_.tasks) {
      throw std::logic_error("only " + std::to_string(delivered_) + " tasks were delivered");
    }
    result_.makespan = now_;
    result_.ideal = ideal_makespan();
    return result_;
  }

 private:
  enum class What : std::uint8_t {
    batch_arrives,
    slot_done,
    report_arrives,
    start_arrives,
    take_back_arrives,
    given_back_arrives,
    cancel_arrives,
    machine_joins,
    machine_dies,
    turn
  };
  struct Event {
    double at;
    TaskId task{};
    std::uint32_t machine = 0;
    std::uint32_t extra = 0;  // index of a batch, count of a take-back, attempt number of a slot
    What what{};
    AttemptEnd end = AttemptEnd::value;
    float run_time = 0;
    bool operator<(const Event& other) const { return at > other.at; }
  };
  struct Running {
    TaskId task;
    double started = 0;
    std::uint32_t attempt = 0;  // tells a slot's end from that of a cancelled attempt
  };
  struct Machine {
    SlaveId id{};
    std::uint32_t slots = 0;
    double speed = 1;
    bool alive = true;
    double born = 0;
    double died = 0;
    std::deque<TaskId> waiting;
    std::vector<Running> running;
  };

  double uniform(double from, double to) {
    return std::uniform_real_distribution<double>(from, to)(random_);
  }
  Time clock() const {
    return Time(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(now_ + 1)));
  }
  void at(double when, Event event) {
    event.at = when;
    events_.push(event);
  }

  void add_machine(double when) {
    Machine machine;
    machine.slots = 1 + static_cast<std::uint32_t>(random_() % 8);
    machine.speed = std::exp(uniform(std::log(0.3), std::log(3.0)));
    machine.born = when;
    {
      Stopwatch watch(result_.scheduler);
      machine.id = scheduler_.add_slave({machine.slots}, clock());
    }
    const auto index = static_cast<std::uint32_t>(machines_.size());
    const std::uint32_t place = slave_index(machine.id);
    if (place >= machine_of_.size()) machine_of_.resize(place + 1);
    machine_of_[place] = index;
    machines_.push_back(std::move(machine));
    if (options_.lifetime > 0) {
      const double life = -options_.lifetime * std::log(uniform(1e-9, 1));
      at(when + life, {.at = 0, .machine = index, .what = What::machine_dies});
    }
  }

  /// Tasks differ: each has its own work, drawn when it is submitted.
  void submit_all() {
    const double mu = std::log(options_.mean) - options_.sigma * options_.sigma / 2;
    std::lognormal_distribution<double> draw(mu, options_.sigma);
    work_.resize(options_.tasks);
    delivered_once_.resize(options_.tasks);
    for (float& work : work_) {
      work = static_cast<float>(draw(random_));
      total_work_ += static_cast<double>(work);
      longest_ = std::max(longest_, static_cast<double>(work));
    }
    TaskFacts facts;
    facts.argument_bytes = 100;
    facts.repeatable = options_.repeatable;
    {
      Stopwatch watch(result_.scheduler);
      for (std::uint64_t i = 0; i < options_.tasks; ++i) scheduler_.submit(facts);
    }
    result_.decisions += options_.tasks;
    result_.bytes = scheduler_.bytes_used();
  }

  void turn() {
    Stopwatch watch(result_.scheduler);
    while (const auto slave = scheduler_.next_ready(clock())) {
      std::vector<TaskId> batch = spare_batch();
      scheduler_.take(*slave, clock(), batch);
      result_.attempts += batch.size();
      result_.decisions += batch.size();
      send(machine_of_[slave_index(*slave)], std::move(batch));
    }
    requests_.clear();
    scheduler_.take_backs(clock(), requests_);
    for (const TakeBack& request : requests_) {
      at(now_ + options_.latency, {.at = 0,
                                   .machine = machine_of_[slave_index(request.slave)],
                                   .extra = request.count,
                                   .what = What::take_back_arrives});
    }
    const auto deadline = scheduler_.next_deadline(clock());
    if (!deadline) return;
    const double when =
        std::chrono::duration<double>(deadline->time_since_epoch()).count() - 1 + 1e-6;
    if (next_turn_ > now_ && next_turn_ <= when) return;
    next_turn_ = std::max(when, now_ + 1e-6);
    at(next_turn_, {.at = 0, .what = What::turn});
  }

  std::vector<TaskId> spare_batch() {
    if (spare_batches_.empty()) return {};
    std::vector<TaskId> batch = std::move(batches_[spare_batches_.back()]);
    batch.clear();
    return batch;
  }
  void send(std::uint32_t machine, std::vector<TaskId> batch) {
    if (batch.empty()) return;
    ++result_.messages;
    std::uint32_t place;
    if (spare_batches_.empty()) {
      place = static_cast<std::uint32_t>(batches_.size());
      batches_.push_back(std::move(batch));
    } else {
      place = spare_batches_.back();
      spare_batches_.pop_back();
      batches_[place] = std::move(batch);
    }
    at(now_ + options_.latency,
       {.at = 0, .machine = machine, .extra = place, .what = What::batch_arrives});
  }

  void happen(const Event& event) {
    Machine& machine = machines_[event.machine];
    switch (event.what) {
      case What::batch_arrives:
        if (machine.alive) {
          for (const TaskId task : batches_[event.extra]) machine.waiting.push_back(task);
          fill_slots(event.machine);
        }
        spare_batches_.push_back(event.extra);
        break;
      case What::slot_done:
        if (machine.alive) slot_done(event);
        break;
      case What::report_arrives:
        if (machine.alive) report(event);
        break;
      case What::start_arrives: {
        if (!machine.alive) break;
        Stopwatch watch(result_.scheduler);
        scheduler_.started(event.task, machine.id, clock());
        break;
      }
      case What::take_back_arrives:
        if (machine.alive) take_back(event);
        break;
      case What::given_back_arrives: {
        if (!machine.alive) break;
        {
          Stopwatch watch(result_.scheduler);
          scheduler_.take_back_done(machine.id, event.extra, clock());
        }
        turn();
        break;
      }
      case What::cancel_arrives:
        if (machine.alive) cancel(event);
        break;
      case What::machine_joins:
        add_machine(now_);
        turn();
        break;
      case What::machine_dies:
        die(event.machine);
        break;
      case What::turn:
        turn();
        break;
    }
  }

  void fill_slots(std::uint32_t index) {
    Machine& machine = machines_[index];
    while (machine.running.size() < machine.slots && !machine.waiting.empty()) {
      const TaskId task = machine.waiting.front();
      machine.waiting.pop_front();
      double run = static_cast<double>(work_[task.index]) / machine.speed;
      if (options_.laggards > 0 && uniform(0, 1) < options_.laggards) run *= 100;
      machine.running.push_back({task, now_, ++attempts_});
      at(now_ + run, {.at = 0,
                      .task = task,
                      .machine = index,
                      .extra = attempts_,
                      .what = What::slot_done,
                      .run_time = static_cast<float>(run)});
      // Slaves look for tasks to report every 20 ms.
      constexpr double kReported = 0.02;
      if (run > kReported) {
        at(now_ + kReported + options_.latency,
           {.at = 0, .task = task, .machine = index, .what = What::start_arrives});
      }
    }
  }

  void slot_done(const Event& event) {
    Machine& machine = machines_[event.machine];
    const auto running = std::find_if(machine.running.begin(), machine.running.end(),
                                      [&](const Running& r) { return r.attempt == event.extra; });
    if (running == machine.running.end()) return;  // cancelled meanwhile
    machine.running.erase(running);
    Event report = event;
    report.what = What::report_arrives;
    at(now_ + options_.latency, report);
    fill_slots(event.machine);
  }

  void report(const Event& event) {
    Verdict verdict;
    {
      Stopwatch watch(result_.scheduler);
      const auto run_time = std::chrono::duration_cast<Duration>(
          std::chrono::duration<double>(static_cast<double>(event.run_time)));
      verdict = scheduler_.finished(event.task, machines_[event.machine].id, run_time, event.end,
                                    clock());
    }
    ++result_.decisions;
    if (verdict.action == Verdict::Action::deliver) deliver(event.task, verdict);
    if (event.end != AttemptEnd::given_back) turn();
  }

  void deliver(TaskId task, const Verdict& verdict) {
    if (delivered_once_[task.index]) throw std::logic_error("a task was delivered twice");
    delivered_once_[task.index] = true;
    ++delivered_;
    if (verdict.loser == kNoSlave) return;
    ++result_.twins;
    at(now_ + options_.latency, {.at = 0,
                                 .task = task,
                                 .machine = machine_of_[slave_index(verdict.loser)],
                                 .what = What::cancel_arrives});
  }

  void take_back(const Event& event) {
    Machine& machine = machines_[event.machine];
    std::uint32_t given = 0;
    for (; given < event.extra && !machine.waiting.empty(); ++given) {
      at(now_ + options_.latency, {.at = 0,
                                   .task = machine.waiting.back(),
                                   .machine = event.machine,
                                   .what = What::report_arrives,
                                   .end = AttemptEnd::given_back});
      machine.waiting.pop_back();
    }
    at(now_ + options_.latency + 1e-9,
       {.at = 0, .machine = event.machine, .extra = given, .what = What::given_back_arrives});
  }

  void cancel(const Event& event) {
    Machine& machine = machines_[event.machine];
    const auto same = [&](const Running& r) { return r.task == event.task; };
    const bool stopped = std::erase_if(machine.running, same) > 0;
    const auto waits = std::find(machine.waiting.begin(), machine.waiting.end(), event.task);
    if (waits != machine.waiting.end()) machine.waiting.erase(waits);
    if (!stopped && waits == machine.waiting.end()) return;  // it has just ended by itself
    Event report = event;
    report.what = What::report_arrives;
    report.end = AttemptEnd::cancelled;
    at(now_ + options_.latency, report);
    fill_slots(event.machine);
  }

  void die(std::uint32_t index) {
    Machine& machine = machines_[index];
    machine.alive = false;
    machine.died = now_;
    result_.lost += machine.running.size() + machine.waiting.size();
    machine.running.clear();
    machine.waiting.clear();
    std::vector<EndedTask> ended;
    {
      Stopwatch watch(result_.scheduler);
      scheduler_.remove_slave(machine.id, clock(), ended);
    }
    result_.failed += ended.size();
    for (const EndedTask& end : ended) deliver(end.task, {});
    add_machine(now_);
    turn();
  }

  /// No schedule is faster: until `ideal` the machines that were there could do as much work as
  /// the bag holds, and the longest task must run on some machine.
  double ideal_makespan() const {
    double low = 0;
    double high = now_;
    for (int i = 0; i < 60; ++i) {
      const double middle = (low + high) / 2;
      double capacity = 0;
      for (const Machine& machine : machines_) {
        const double until = std::min(middle, machine.alive ? middle : machine.died);
        capacity += std::max(0.0, until - machine.born) * machine.slots * machine.speed;
      }
      (capacity < total_work_ ? low : high) = middle;
    }
    return std::max(high, longest_ / 3.0);
  }

  Options options_;
  std::mt19937_64 random_;
  Scheduler scheduler_;
  Result result_;
  double now_ = 0;
  double next_turn_ = -1;
  std::priority_queue<Event> events_;
  std::vector<Machine> machines_;
  std::vector<std::uint32_t> machine_of_;  // by slave_index
  std::vector<std::vector<TaskId>> batches_;
  std::vector<std::uint32_t> spare_batches_;
  std::vector<TakeBack> requests_;
  std::vector<float> work_;  // by task index
  std::vector<bool> delivered_once_;
  double total_work_ = 0;
  double longest_ = 0;
  std::uint64_t delivered_ = 0;
  std::uint32_t attempts_ = 0;
};

}  // namespace

Result run(const Options& options) {
  return Cluster(options).run();
}

StepCost measure_steps(std::uint64_t tasks, std::uint32_t slaves) {
  Scheduler scheduler;
  Time now{std::chrono::hours(1)};
  std::vector<std::vector<TaskId>> held(slaves);
  for (std::uint32_t i = 0; i < slaves; ++i) scheduler.add_slave({4}, now);
  StepCost cost{};
  {
    ProcessorStopwatch watch(cost.submit);
    for (std::uint64_t i = 0; i < tasks; ++i) scheduler.submit({.argument_bytes = 16});
  }
  std::uint64_t finished = 0;
  while (finished < tasks) {
    {
      ProcessorStopwatch watch(cost.take);
      while (const auto slave = scheduler.next_ready(now)) {
        scheduler.take(*slave, now, held[slave_index(*slave)]);
      }
    }
    now += std::chrono::microseconds(200);
    ProcessorStopwatch watch(cost.finish);
    for (std::uint32_t i = 0; i < slaves; ++i) {
      for (const TaskId task : held[i]) {
        scheduler.finished(task, SlaveId{i}, std::chrono::microseconds(1), AttemptEnd::value, now);
      }
      finished += held[i].size();
      held[i].clear();
    }
  }
  return cost;
}

}  // namespace knee::simulation
