#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <vector>

#include "client/driver/scheduler.h"

namespace knee::driver {

using namespace std::chrono_literals;

/// A scheduler, a manual clock and what was sent to whom.
struct Bed {
  Scheduler scheduler;
  Time now{1h};
  std::map<SlaveId, std::vector<TaskId>> held;  ///< sent and not reported, in the order sent
  std::vector<EndedTask> ended;

  explicit Bed(SchedulerOptions options = {.ahead = std::chrono::milliseconds(5)})
      : scheduler(options) {}

  SlaveId slave(std::uint32_t slots, std::optional<Duration> lifetime = std::nullopt) {
    SlaveFacts facts{slots};
    if (lifetime) facts.end = now + *lifetime;
    return scheduler.add_slave(facts, now);
  }
  std::vector<TaskId> submit(std::size_t count, const TaskFacts& facts = {}) {
    std::vector<TaskId> tasks;
    for (std::size_t i = 0; i < count; ++i) tasks.push_back(scheduler.submit(facts));
    return tasks;
  }
  TaskId submit_one(const TaskFacts& facts = {}) { return scheduler.submit(facts); }

  /// Visits all ready slaves; returns how many tasks were sent.
  std::size_t turn() {
    std::size_t sent = 0;
    for (int visits = 0; auto slave = scheduler.next_ready(now); ++visits) {
      if (visits > 1'000'000) throw std::logic_error("the loop of visits does not end");
      std::vector<TaskId> batch;
      scheduler.take(*slave, now, batch);
      held[*slave].insert(held[*slave].end(), batch.begin(), batch.end());
      sent += batch.size();
    }
    return sent;
  }
  std::size_t holds(SlaveId slave) { return held[slave].size(); }
  bool holds(SlaveId slave, TaskId task) {
    return std::count(held[slave].begin(), held[slave].end(), task) > 0;
  }
  Verdict finish(SlaveId slave, TaskId task, AttemptEnd end, Duration run_time = 1ms) {
    std::erase(held[slave], task);
    return scheduler.finished(task, slave, run_time, end, now);
  }
  /// The oldest task of the slave ends.
  Verdict finish_next(SlaveId slave, AttemptEnd end = AttemptEnd::value, Duration run_time = 1ms) {
    return finish(slave, held[slave].at(0), end, run_time);
  }
  void lose(SlaveId slave) {
    held.erase(slave);
    scheduler.lose_slave(slave, now, ended);
  }
  std::vector<TakeBack> take_backs() {
    std::vector<TakeBack> requests;
    scheduler.take_backs(now, requests);
    return requests;
  }
  /// The slave gives back its last tasks.
  void give_back(SlaveId slave, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      finish(slave, held[slave].back(), AttemptEnd::given_back, 0ns);
    }
    scheduler.take_back_done(slave, count, now);
  }
  std::vector<SlaveEvent> events() {
    std::vector<SlaveEvent> events;
    scheduler.take_events(events);
    return events;
  }
  /// Runs tasks of a kind on a slave of its own, so that the kind's run time is known.
  void teach(std::uint32_t kind, Duration run_time, int results = 20) {
    const SlaveId teacher = slave(1);
    TaskFacts facts;
    facts.kind = kind;
    facts.pinned = teacher;
    for (int i = 0; i < results; ++i) {
      scheduler.submit(facts);
      turn();
      now += run_time;
      finish_next(teacher, AttemptEnd::value, run_time);
    }
    scheduler.remove_slave(teacher, now, ended);
  }
  bool suspended(SlaveId slave) { return scheduler.state_of(slave).suspended_until.has_value(); }
};

}  // namespace knee::driver
