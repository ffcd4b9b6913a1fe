// Which slave a task goes to, and what can be asked about all of them.
#include <catch2/catch.hpp>

#include "tests/client/driver/scheduler_fixture.h"

using namespace knee::driver;
using Action = Verdict::Action;

TEST_CASE("tasks are sent in the order they were submitted") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const std::vector<TaskId> tasks = bed.submit(20);
  std::vector<TaskId> sent;
  while (bed.turn() > 0) {
    for (const TaskId task : std::vector<TaskId>(bed.held[slave])) {
      sent.push_back(task);
      bed.finish(slave, task, AttemptEnd::value, 10s);
    }
  }
  CHECK(sent == tasks);
}

TEST_CASE("a long task goes to the fastest idle slave") {
  Bed bed;
  bed.teach(0, 1s);
  const SlaveId slow = bed.slave(1);
  const SlaveId fast = bed.slave(1);
  for (int i = 0; i < 30; ++i) {
    bed.submit(2);
    bed.turn();
    bed.now += 2s;
    bed.finish_next(fast, AttemptEnd::value, 500ms);
    bed.finish_next(slow, AttemptEnd::value, 2s);
  }
  CHECK(bed.scheduler.state_of(fast).speed > 2 * bed.scheduler.state_of(slow).speed);
  const TaskId task = bed.submit_one();
  bed.turn();
  CHECK(bed.holds(fast, task));
}

TEST_CASE("idle slaves of one speed take turns") {
  Bed bed;
  std::vector<SlaveId> slaves{bed.slave(1), bed.slave(1), bed.slave(1)};
  bed.submit(3);
  bed.turn();
  for (const SlaveId slave : slaves) CHECK(bed.holds(slave) == 1);
}

TEST_CASE("a task of 4 cores never goes to slaves of 2 slots and is reported as unschedulable") {
  Bed bed;
  for (int i = 0; i < 3; ++i) bed.slave(2);
  TaskFacts wide;
  wide.cores = 4;
  const TaskId task = bed.submit_one(wide);
  const TaskId narrow = bed.submit_one();
  CHECK(bed.turn() == 1);
  CHECK(bed.scheduler.unschedulable().tasks == 1);
  CHECK(bed.scheduler.unschedulable().cores == 4);
  const SlaveId large = bed.slave(4);
  CHECK(bed.scheduler.unschedulable().tasks == 0);
  bed.turn();
  CHECK(bed.holds(large, task));
  CHECK_FALSE(bed.holds(large, narrow));
}

TEST_CASE("a task of several cores fills several slots") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  TaskFacts wide;
  wide.cores = 2;
  bed.submit(10, wide);
  CHECK(bed.turn() == 4);  // two run, two are ahead
  CHECK(bed.scheduler.state_of(slave).held_cores == 8);
  CHECK(bed.scheduler.totals().busy == 4);
}

TEST_CASE("a task of several cores is sent to a busy slave, which keeps slots free for it") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  bed.submit(1);
  bed.turn();
  TaskFacts wide;
  wide.cores = 4;
  const TaskId task = bed.submit_one(wide);
  bed.turn();
  CHECK(bed.holds(slave, task));
}

TEST_CASE("tasks of one core do not starve a wide one") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  bed.submit(20);
  bed.turn();
  TaskFacts wide;
  wide.cores = 4;
  const TaskId task = bed.submit_one(wide);
  bed.submit(1000);
  int finished = 0;
  while (!bed.holds(slave, task)) {
    bed.finish_next(slave, AttemptEnd::value, 1s);
    bed.turn();
    REQUIRE(++finished < 30);
  }
}

TEST_CASE("a pinned task waits for its slave and runs nowhere else") {
  Bed bed;
  const SlaveId gandalf = bed.slave(0);  // known by name, not here yet
  const SlaveId frodo = bed.slave(8);
  TaskFacts pinned;
  pinned.pinned = gandalf;
  const TaskId task = bed.submit_one(pinned);
  CHECK(bed.turn() == 0);
  CHECK(bed.scheduler.state_of(gandalf).queued == 1);
  bed.scheduler.update_slave(gandalf, {2}, bed.now);
  CHECK(bed.turn() == 1);
  CHECK(bed.holds(gandalf, task));
  bed.scheduler.started(task, gandalf, bed.now);
  bed.lose(gandalf);
  CHECK(bed.turn() == 0);
  bed.scheduler.update_slave(gandalf, {2}, bed.now);
  CHECK(bed.turn() == 1);
  CHECK(bed.holds(gandalf, task));
  CHECK(bed.holds(frodo) == 0);
}

TEST_CASE("a pinned task comes before the common queue on its slave") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  bed.submit(10);
  bed.turn();
  TaskFacts pinned;
  pinned.pinned = slave;
  const TaskId task = bed.submit_one(pinned);
  bed.finish_next(slave);
  bed.turn();
  CHECK(bed.holds(slave, task));
}

TEST_CASE("tasks pinned to a slave that is removed end unrun") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  bed.slave(1);
  TaskFacts pinned;
  pinned.pinned = slave;
  bed.submit(5, pinned);
  bed.turn();
  bed.held.erase(slave);
  bed.scheduler.remove_slave(slave, bed.now, bed.ended);
  CHECK(bed.ended.size() == 5);
  CHECK(bed.scheduler.totals().queued == 0);
  CHECK_THROWS_AS(bed.submit_one(pinned), std::invalid_argument);
  CHECK_THROWS_AS(bed.scheduler.state_of(slave), std::invalid_argument);
}

TEST_CASE("the place of a removed slave is taken by a new one with another id") {
  Bed bed;
  const SlaveId first = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  bed.scheduler.remove_slave(first, bed.now, bed.ended);
  const SlaveId second = bed.slave(1);
  CHECK(first != second);
  CHECK(slave_index(first) == slave_index(second));
  bed.turn();
  CHECK(bed.holds(second, task));
  CHECK(bed.finish(first, task, AttemptEnd::value).action == Action::ignore);
  CHECK(bed.finish(second, task, AttemptEnd::value).action == Action::deliver);
}

TEST_CASE("a slave that will end gets no task that is expected to outlast it") {
  Bed bed;
  bed.teach(0, 10s);
  bed.teach(1, 100ms);
  const SlaveId leaving = bed.slave(2, 5s);
  TaskFacts long_task;
  TaskFacts short_task;
  short_task.kind = 1;
  const TaskId too_long = bed.submit_one(long_task);
  const TaskId fits = bed.submit_one(short_task);
  bed.turn();
  CHECK_FALSE(bed.holds(leaving, too_long));
  CHECK(bed.holds(leaving, fits));
  const SlaveId staying = bed.slave(1);
  bed.turn();
  CHECK(bed.holds(staying, too_long));
  bed.now += 5s;
  bed.finish(leaving, fits, AttemptEnd::value);
  bed.finish(staying, too_long, AttemptEnd::value);
  bed.scheduler.update_slave(staying, {0}, bed.now);
  bed.submit_one(short_task);
  CHECK(bed.turn() == 0);
}

TEST_CASE("tasks that would outlast every slave here are counted, until one comes that stays") {
  Bed bed;
  bed.teach(0, 10s);
  bed.teach(1, 100ms);
  bed.submit(3);
  CHECK(bed.scheduler.outlasting(bed.now) == 0);  // nobody is here: that is another matter
  bed.slave(2, 5s);
  bed.turn();
  CHECK(bed.scheduler.outlasting(bed.now) == 3);
  const SlaveId staying = bed.slave(1);
  CHECK(bed.scheduler.outlasting(bed.now) == 0);
  bed.scheduler.remove_slave(staying, bed.now, bed.ended);
  TaskFacts wide;
  wide.cores = 8;
  bed.submit(2, wide);  // of those it is said that no slave is wide enough
  CHECK(bed.scheduler.outlasting(bed.now) == 3);
}

TEST_CASE("a slave that ends takes no more than it can run before") {
  Bed bed;
  bed.teach(0, 1s);
  const SlaveId leaving = bed.slave(2, 1500ms);
  bed.submit(100);
  bed.turn();
  CHECK(bed.holds(leaving) == 2);
}

TEST_CASE("a slave that shrinks keeps what it holds and gets less") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  bed.submit(100);
  bed.turn();
  REQUIRE(bed.holds(slave) == 8);
  bed.scheduler.update_slave(slave, {1}, bed.now);
  for (int i = 0; i < 6; ++i) {
    bed.finish_next(slave, AttemptEnd::value, 1s);
    CHECK(bed.turn() == 0);
  }
  bed.finish_next(slave, AttemptEnd::value, 1s);
  CHECK(bed.turn() == 1);
}

TEST_CASE("one task among ten thousand idle slaves visits one slave") {
  Bed bed;
  for (int i = 0; i < 10'000; ++i) bed.slave(1 + i % 8);
  bed.submit(1);
  const auto slave = bed.scheduler.next_ready(bed.now);
  REQUIRE(slave.has_value());
  std::vector<TaskId> batch;
  bed.scheduler.take(*slave, bed.now, batch);
  CHECK(batch.size() == 1);
  CHECK_FALSE(bed.scheduler.next_ready(bed.now).has_value());
}

TEST_CASE("a slave that is to rest gets nothing before an attempt of its own has ended") {
  Bed bed;
  const SlaveId resting = bed.slave(2);
  const SlaveId other = bed.slave(1);
  TaskFacts pinned;
  pinned.pinned = resting;
  const TaskId first = bed.submit_one(pinned);
  REQUIRE(bed.turn() == 1);
  bed.submit(10);
  bed.submit_one(pinned);
  int rests = 0;
  while (const auto slave = bed.scheduler.next_ready(bed.now)) {
    if (*slave == resting) {
      REQUIRE(++rests < 10);
      bed.scheduler.rest(*slave);
      continue;
    }
    bed.scheduler.take(*slave, bed.now, bed.held[*slave]);
  }
  CHECK(rests > 0);
  CHECK(bed.holds(other) > 0);
  bed.turn();
  CHECK(bed.holds(resting) == 1);
  bed.finish(resting, first, AttemptEnd::value);
  bed.turn();
  CHECK(bed.holds(resting) >= 2);
}

TEST_CASE("a slave that found nothing suitable is asked again for the next task") {
  Bed bed;
  const SlaveId failed = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  const SlaveId other = bed.slave(1);
  bed.submit(2);
  bed.turn();
  bed.finish(failed, task, AttemptEnd::crashed);
  CHECK(bed.turn() == 0);  // waits for the other
  const TaskId next = bed.submit_one();
  bed.now = std::max(bed.now, bed.scheduler.next_deadline(bed.now).value());
  bed.turn();
  CHECK(bed.holds(failed, next));
  CHECK(bed.holds(other) == 2);
}

TEST_CASE("totals count what is queued, sent and busy") {
  Bed bed;
  const SlaveId slave = bed.slave(2);
  bed.slave(0);
  bed.submit(10);
  bed.turn();
  const ScheduleTotals totals = bed.scheduler.totals();
  CHECK(totals.queued == 6);
  CHECK(totals.sent == 4);
  CHECK(totals.slots == 2);
  CHECK(totals.busy == 2);
  const SlaveState state = bed.scheduler.state_of(slave);
  CHECK(state.held_tasks == 4);
  CHECK(state.slots == 2);
}

TEST_CASE("of the tasks sent those run that have slots, the others wait at their slaves") {
  Bed bed;
  bed.slave(2);
  CHECK(bed.scheduler.running() == 0);
  bed.submit(1);
  bed.turn();
  CHECK(bed.scheduler.running() == 1);
  bed.submit(9);
  bed.turn();
  REQUIRE(bed.scheduler.totals().sent == 4);
  CHECK(bed.scheduler.running() == 2);
  bed.slave(4);
  bed.submit(4, {.kind = 1, .cores = 2});
  bed.turn();
  CHECK(bed.scheduler.running() >= 4);
  CHECK(bed.scheduler.running() <= 6);
}

TEST_CASE("the remaining time is work over slots, and unknown while a kind is unknown") {
  Bed bed;
  bed.slave(4);
  bed.submit(100);
  bed.turn();
  CHECK_FALSE(bed.scheduler.remaining_time().has_value());
  Bed known;
  known.teach(0, 1s);
  CHECK_FALSE(known.scheduler.remaining_time().has_value());  // nobody is there
  known.slave(4);
  known.submit(100);
  CHECK(known.scheduler.remaining_time().value() > 24s);
  CHECK(known.scheduler.remaining_time().value() < 26s);
}

TEST_CASE("a queued task costs the scheduler 48 bytes") {
  Bed bed;
  const std::size_t before = bed.scheduler.bytes_used();
  bed.submit(1 << 18);
  CHECK((bed.scheduler.bytes_used() - before) / (1 << 18) <= 50);
}
