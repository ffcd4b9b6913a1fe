// How many tasks a slave is sent ahead of what it runs.
#include <catch2/catch.hpp>

#include "tests/client/driver/scheduler_fixture.h"

using namespace knee::driver;

TEST_CASE("nothing is known of a kind: one task ahead per slot") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  bed.submit(1000);
  CHECK(bed.turn() == 8);
  CHECK(bed.holds(slave) == 8);
}

TEST_CASE("with no-op tasks the credit doubles with each round up to thousands") {
  Bed bed;
  const SlaveId slave = bed.slave(2);
  bed.submit(100'000);
  std::size_t last = 0;
  std::size_t largest = 0;
  for (int round = 0; round < 14; ++round) {
    bed.turn();
    const std::size_t count = bed.holds(slave);
    CHECK(count <= 3 * std::max<std::size_t>(last, 4));
    last = count;
    largest = std::max(largest, count);
    bed.now += 1ms;
    while (bed.holds(slave) > 0) bed.finish_next(slave, AttemptEnd::value, 1us);
  }
  CHECK(largest >= 5000);
  CHECK(largest <= 2 * 7000);  // 5 ms per slot and a turnaround of about 1 ms
}

TEST_CASE("tasks of 1 ms: about five ahead per slot") {
  Bed bed;
  bed.teach(0, 1ms);
  const SlaveId slave = bed.slave(2);
  bed.submit(10'000);
  for (int i = 0; i < 200; ++i) {
    bed.turn();
    bed.now += 500us;
    bed.finish_next(slave, AttemptEnd::value, 1ms);
  }
  bed.turn();
  CHECK(bed.holds(slave) >= 8);
  CHECK(bed.holds(slave) <= 14);
}

TEST_CASE("tasks of 10 s: never more than one ahead per slot") {
  Bed bed;
  bed.teach(0, 10s);
  const SlaveId slave = bed.slave(3);
  bed.submit(1000);
  for (int i = 0; i < 50; ++i) {
    bed.turn();
    CHECK(bed.holds(slave) == 6);
    bed.now += 3s;
    bed.finish_next(slave, AttemptEnd::value, 10s);
  }
}

TEST_CASE("a long turnaround widens the credit") {
  const auto most_held = [](Duration turnaround) {
    Bed bed;
    bed.teach(0, 1ms);
    const SlaveId slave = bed.slave(1);
    bed.submit(10'000);
    std::size_t most = 0;
    for (int round = 0; round < 20; ++round) {
      bed.turn();
      most = std::max(most, bed.holds(slave));
      bed.now += turnaround + 1ms;
      while (bed.holds(slave) > 0) bed.finish_next(slave, AttemptEnd::value, 1ms);
    }
    return most;
  };
  CHECK(most_held(1us) <= 6);
  CHECK(most_held(50ms) >= 40);
}

TEST_CASE("when there are fewer tasks than slots every slave gets what its idle slots can run") {
  Bed bed;
  bed.teach(0, 10s);
  std::vector<SlaveId> slaves;
  for (int i = 0; i < 10; ++i) slaves.push_back(bed.slave(4));
  bed.submit(40);
  bed.turn();
  for (const SlaveId slave : slaves) CHECK(bed.holds(slave) == 4);
}

TEST_CASE("a hundred no-op tasks are not spread thin") {
  Bed bed;
  for (int i = 0; i < 20; ++i) {  // each has earned trust
    TaskFacts facts;
    facts.pinned = bed.slave(1);
    for (int j = 0; j < 50; ++j) {
      bed.submit_one(facts);
      bed.turn();
      bed.finish_next(facts.pinned, AttemptEnd::value, 1us);
    }
  }
  bed.submit(50);
  bed.turn();
  std::size_t visited = 0;
  for (const auto& [slave, tasks] : bed.held) visited += !tasks.empty();
  CHECK(visited == 1);
}

TEST_CASE("short tasks are shared out: the first slave visited leaves work for the others") {
  Bed bed;
  bed.teach(0, 100us);
  const SlaveId a = bed.slave(4);
  const SlaveId b = bed.slave(4);
  const auto round = [&](std::size_t tasks) {
    bed.submit(tasks);
    bed.turn();
  };
  for (int i = 0; i < 8; ++i) {  // both earn trust
    round(400);
    while (bed.holds(a) + bed.holds(b) > 0) {
      bed.now += 10us;
      for (const SlaveId slave : {a, b}) {
        if (bed.holds(slave) > 0) bed.finish_next(slave, AttemptEnd::value, 100us);
      }
      bed.turn();
    }
  }
  round(200);
  CHECK(bed.holds(a) >= 35);
  CHECK(bed.holds(b) >= 35);
  CHECK(bed.holds(a) + bed.holds(b) <= 150);  // the rest for whoever is faster
}

TEST_CASE("a slave whose answers are late is not given all there is, however short the tasks") {
  Bed bed;
  const SlaveId slave = bed.slave(2);
  const std::size_t most = 2 + SchedulerOptions{}.tasks_ahead;
  bed.submit(500'000);
  std::size_t largest = 0;
  for (int round = 0; round < 30 && bed.scheduler.totals().queued > 0; ++round) {
    bed.turn();
    const std::size_t count = bed.holds(slave);
    largest = std::max(largest, count);
    REQUIRE(count <= most);
    bed.now += 250ms;  // what others do there meanwhile
    for (const TaskId task : std::vector<TaskId>(bed.held[slave]))
      bed.scheduler.finished(task, slave, 1us, AttemptEnd::value, bed.now);
    bed.held[slave].clear();
  }
  CHECK(largest == most);
}

TEST_CASE("a slave that holds the most tasks is topped up when half of them are done") {
  Bed bed({.tasks_ahead = 100});
  const SlaveId slave = bed.slave(1);
  bed.submit(10'000);
  for (int round = 0; round < 30; ++round) {
    bed.turn();
    if (bed.holds(slave) == 101) break;
    bed.now += 100ms;
    while (bed.holds(slave) > 0) bed.finish_next(slave, AttemptEnd::value, 1us);
  }
  REQUIRE(bed.holds(slave) == 101);
  while (bed.holds(slave) > 51) {
    bed.finish_next(slave, AttemptEnd::value, 1us);
    REQUIRE((bed.holds(slave) < 51 || bed.turn() == 0));
  }
  bed.finish_next(slave, AttemptEnd::value, 1us);
  CHECK(bed.turn() == 51);
}

TEST_CASE("idle slots are filled whatever the size of the arguments") {
  Bed bed;
  const SlaveId slave = bed.slave(2);
  TaskFacts large;
  large.argument_bytes = 100u << 20;
  const std::vector<TaskId> tasks = bed.submit(5, large);
  CHECK(bed.turn() == 3);  // two run, and of what waits a larger one waits alone
  CHECK(bed.turn() == 0);
  bed.finish(slave, tasks[0], AttemptEnd::value);
  CHECK(bed.turn() == 1);
  bed.finish(slave, tasks[1], AttemptEnd::value);
  bed.finish(slave, tasks[2], AttemptEnd::value);
  CHECK(bed.turn() == 1);
  CHECK(bed.holds(slave) == 2);
}

TEST_CASE("the bytes of arguments that wait at a slave are bounded") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  TaskFacts facts;
  facts.argument_bytes = 3u << 20;
  bed.submit(20, facts);
  CHECK(bed.turn() == 6);  // four run, two wait
  CHECK(bed.scheduler.state_of(slave).held_bytes == 18u << 20);
  CHECK(bed.turn() == 0);
  bed.finish_next(slave);
  CHECK(bed.turn() == 1);
}

TEST_CASE("large tasks that run do not keep small ones from waiting") {
  Bed bed;
  const SlaveId slave = bed.slave(2);
  TaskFacts large;
  large.argument_bytes = 100u << 20;
  bed.submit(2, large);
  bed.turn();
  bed.submit(10);
  CHECK(bed.turn() == 2);
  CHECK(bed.holds(slave) == 4);
}

TEST_CASE("a wide task that waits counts with its bytes") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  bed.submit(1);
  bed.turn();
  TaskFacts wide;
  wide.cores = 4;
  wide.argument_bytes = 100u << 20;
  bed.submit(2, wide);
  CHECK(bed.turn() == 1);
  CHECK(bed.holds(slave) == 2);
}

TEST_CASE("a task that is awaited is sent at once, before all that are queued, to the emptiest") {
  Bed bed;
  const SlaveId full = bed.slave(1);
  const SlaveId emptier = bed.slave(4);
  const auto others = bed.submit(1000);
  const TaskId awaited = bed.submit_one();
  bed.turn();
  REQUIRE(bed.holds(full) == 2);
  REQUIRE(bed.holds(emptier) == 8);
  bed.finish_next(emptier);
  std::vector<TaskId> sent;
  CHECK(bed.scheduler.start_awaited(awaited, bed.now, sent) == emptier);
  CHECK(sent == std::vector{awaited});
  // It is there now, and waits behind others.
  sent.clear();
  CHECK(bed.scheduler.start_awaited(awaited, bed.now, sent) == emptier);
  CHECK(sent.empty());
  bed.scheduler.started(awaited, emptier, bed.now);
  CHECK_FALSE(bed.scheduler.start_awaited(awaited, bed.now, sent));
  CHECK(bed.finish(emptier, awaited, AttemptEnd::value).action == Verdict::Action::deliver);
  CHECK_FALSE(bed.scheduler.start_awaited(awaited, bed.now, sent));
  CHECK(sent.empty());
}

TEST_CASE("an awaited task for which there seems to be a slot may wait for tasks of others") {
  Bed bed;
  const SlaveId slave = bed.slave(2);
  const TaskId awaited = bed.submit_one();
  bed.turn();
  REQUIRE(bed.holds(slave, awaited));
  std::vector<TaskId> sent;
  CHECK(bed.scheduler.start_awaited(awaited, bed.now, sent) == slave);
  CHECK(sent.empty());
}

TEST_CASE("a task that is awaited goes only where it may run") {
  Bed bed;
  std::vector<TaskId> sent;
  const TaskId nowhere = bed.submit_one();
  CHECK_FALSE(bed.scheduler.start_awaited(nowhere, bed.now, sent));
  const SlaveId gandalf = bed.slave(1);
  const SlaveId frodo = bed.slave(4);
  bed.submit(1000);
  TaskFacts pinned;
  pinned.pinned = gandalf;
  const TaskId on_gandalf = bed.submit_one(pinned);
  TaskFacts wide;
  wide.cores = 3;
  const TaskId on_frodo = bed.submit_one(wide);
  wide.cores = 5;
  const TaskId too_wide = bed.submit_one(wide);
  CHECK(bed.scheduler.start_awaited(on_gandalf, bed.now, sent) == gandalf);
  CHECK(bed.scheduler.start_awaited(on_frodo, bed.now, sent) == frodo);
  CHECK(sent == std::vector{on_gandalf, on_frodo});
  CHECK_FALSE(bed.scheduler.start_awaited(too_wide, bed.now, sent));
  bed.lose(gandalf);
  CHECK_FALSE(bed.scheduler.start_awaited(on_gandalf, bed.now, sent));
  CHECK(sent.size() == 2);
}
