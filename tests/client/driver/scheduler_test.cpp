// The retry table, credits, placement, cancelling. Black holes and the end of a bag have files of
// their own.
#include <catch2/catch.hpp>

#include "tests/client/driver/scheduler_fixture.h"

using namespace knee::driver;
using Action = Verdict::Action;
using Found = Cancellation::Found;

// ---- the retry table ----------------------------------------------------------------------

TEST_CASE("a value, an exception, an exit and a cancelled attempt are final") {
  const auto end =
      GENERATE(AttemptEnd::value, AttemptEnd::exception, AttemptEnd::exited, AttemptEnd::cancelled);
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  REQUIRE(bed.turn() == 1);
  const Verdict verdict = bed.finish(slave, task, end);
  CHECK(verdict.action == Action::deliver);
  CHECK(verdict.end == end);
  CHECK(verdict.loser == kNoSlave);
  CHECK(bed.turn() == 0);
  CHECK(bed.scheduler.totals().sent == 0);
}

TEST_CASE("a timeout is final") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  const Verdict verdict = bed.finish(slave, task, AttemptEnd::timeout);
  CHECK(verdict.action == Action::deliver);
  CHECK(verdict.end == AttemptEnd::timeout);
}

TEST_CASE("a timeout is tried again on another slave if the task says retry_timeouts") {
  Bed bed;
  const SlaveId first = bed.slave(1);
  const SlaveId second = bed.slave(1);
  TaskFacts facts;
  facts.retry_timeouts = true;
  facts.attempts = 2;
  const TaskId task = bed.submit_one(facts);
  bed.turn();
  const SlaveId tried = bed.holds(first, task) ? first : second;
  const SlaveId other = tried == first ? second : first;
  CHECK(bed.finish(tried, task, AttemptEnd::timeout).action == Action::retry);
  bed.turn();
  CHECK(bed.holds(other, task));
  const Verdict last = bed.finish(other, task, AttemptEnd::timeout);
  CHECK(last.action == Action::deliver);
  CHECK(last.end == AttemptEnd::timeout);
}

TEST_CASE("a crash is charged and tried again on other slaves while attempts last") {
  const auto end = GENERATE(AttemptEnd::crashed, AttemptEnd::out_of_memory, AttemptEnd::slave_lost);
  Bed bed;
  const std::vector<SlaveId> slaves{bed.slave(1), bed.slave(1), bed.slave(1), bed.slave(1)};
  const TaskId task = bed.submit_one();
  std::vector<SlaveId> tried;
  for (int attempt = 1; attempt <= 3; ++attempt) {
    REQUIRE(bed.turn() == 1);
    for (const SlaveId slave : slaves) {
      if (bed.holds(slave, task)) tried.push_back(slave);
    }
    const Verdict verdict = bed.finish(tried.back(), task, end);
    CHECK(verdict.action == (attempt < 3 ? Action::retry : Action::deliver));
    CHECK(verdict.end == end);
  }
  std::sort(tried.begin(), tried.end());
  CHECK(std::unique(tried.begin(), tried.end()) == tried.end());
  CHECK(bed.turn() == 0);
}

TEST_CASE("a retry runs on the slave it failed on if there is no other") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  for (int attempt = 1; attempt <= 3; ++attempt) {
    REQUIRE(bed.turn() == 1);
    const Verdict verdict = bed.finish(slave, task, AttemptEnd::crashed);
    CHECK(verdict.action == (attempt < 3 ? Action::retry : Action::deliver));
  }
}

TEST_CASE("a retry waits for another slave that is busy") {
  Bed bed;
  const SlaveId first = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  const SlaveId second = bed.slave(1);
  bed.submit(2);
  bed.turn();
  REQUIRE(bed.holds(second) == 2);  // one ahead: no more credit
  bed.finish(first, task, AttemptEnd::crashed);
  bed.turn();
  CHECK_FALSE(bed.holds(first, task));
  bed.finish_next(second);
  bed.turn();
  CHECK(bed.holds(second, task));
}

TEST_CASE("attempts of 1 mean one start") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  TaskFacts facts;
  facts.attempts = 1;
  const TaskId task = bed.submit_one(facts);
  bed.turn();
  const Verdict verdict = bed.finish(slave, task, AttemptEnd::crashed);
  CHECK(verdict.action == Action::deliver);
  CHECK(verdict.end == AttemptEnd::crashed);
}

TEST_CASE("a task that never started is never charged") {
  const auto end = GENERATE(AttemptEnd::lost_uncharged, AttemptEnd::given_back);
  Bed bed;
  const SlaveId slave = bed.slave(1);
  TaskFacts facts;
  facts.attempts = 1;
  const TaskId task = bed.submit_one(facts);
  for (int i = 0; i < 6; ++i) {
    REQUIRE(bed.turn() == 1);
    CHECK(bed.finish(slave, task, end).action == Action::retry);
  }
  REQUIRE(bed.turn() == 1);
  CHECK(bed.finish(slave, task, AttemptEnd::value).action == Action::deliver);
}

TEST_CASE("of the tasks of a lost slave only the started ones are charged") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  TaskFacts facts;
  facts.attempts = 2;
  const std::vector<TaskId> tasks = bed.submit(2, facts);
  REQUIRE(bed.turn() == 2);
  bed.scheduler.started(tasks[0], slave, bed.now);
  CHECK(bed.scheduler.state_of(slave).started == 1);
  bed.lose(slave);
  CHECK(bed.ended.empty());
  CHECK(bed.scheduler.totals().queued == 2);
  const SlaveId other = bed.slave(1);
  bed.turn();
  REQUIRE(bed.holds(other, tasks[1]));
  bed.lose(other);
  // It had its second and last start; the other has still had none.
  REQUIRE(bed.ended.size() == 1);
  CHECK(bed.ended[0].task == tasks[0]);
  CHECK(bed.ended[0].end == AttemptEnd::slave_lost);
  CHECK(bed.scheduler.totals().queued == 1);
}

TEST_CASE("a task with one attempt is not sent twice, though no news of its start has come") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  TaskFacts facts;
  facts.attempts = 1;
  const std::vector<TaskId> tasks = bed.submit(1, facts);
  REQUIRE(bed.turn() == 1);
  bed.lose(slave);
  REQUIRE(bed.ended.size() == 1);
  CHECK(bed.ended[0].end == AttemptEnd::slave_lost);
}

TEST_CASE("a started task of a lost slave with attempts left runs again elsewhere") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  bed.scheduler.started(task, slave, bed.now);
  bed.lose(slave);
  CHECK(bed.ended.empty());
  CHECK(bed.turn() == 0);  // nobody is there
  const SlaveId other = bed.slave(1);
  bed.turn();
  CHECK(bed.holds(other, task));
}

TEST_CASE("tasks of a lost slave keep their order") {
  Bed bed;
  const SlaveId slave = bed.slave(4);
  const std::vector<TaskId> tasks = bed.submit(12);
  bed.turn();
  REQUIRE(bed.holds(slave) == 8);
  bed.lose(slave);
  const SlaveId other = bed.slave(6);
  bed.turn();
  CHECK(bed.held[other] == tasks);
}

TEST_CASE("a retried task goes before those that wait") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const std::vector<TaskId> tasks = bed.submit(10);
  bed.turn();
  bed.finish(slave, tasks[0], AttemptEnd::crashed);
  bed.turn();
  CHECK(bed.held[slave].back() == tasks[0]);
}

TEST_CASE("a late or unknown report is ignored") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const SlaveId other = bed.slave(1);
  const TaskId task = bed.submit_one();
  CHECK(bed.scheduler.finished(task, slave, 1ms, AttemptEnd::value, bed.now).action ==
        Action::ignore);  // still queued
  bed.turn();
  const SlaveId holder = bed.holds(slave, task) ? slave : other;
  const SlaveId stranger = holder == slave ? other : slave;
  CHECK(bed.finish(stranger, task, AttemptEnd::value).action == Action::ignore);
  CHECK(bed.finish(holder, task, AttemptEnd::value).action == Action::deliver);
  CHECK(bed.finish(holder, task, AttemptEnd::value).action == Action::ignore);
  CHECK(bed.finish(holder, TaskId{}, AttemptEnd::value).action == Action::ignore);
  const TaskId next = bed.submit_one();
  CHECK(next.index == task.index);
  CHECK_FALSE(next == task);
  CHECK(bed.finish(holder, task, AttemptEnd::value).action == Action::ignore);
}

// ---- credits ------------------------------------------------------------------------------

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

// ---- placement ----------------------------------------------------------------------------

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

// ---- cancel -------------------------------------------------------------------------------

TEST_CASE("a queued task is cancelled at once") {
  Bed bed;
  const std::vector<TaskId> tasks = bed.submit(3);
  CHECK(bed.scheduler.cancel(tasks[1]).found == Found::dropped);
  CHECK(bed.scheduler.cancel(tasks[1]).found == Found::gone);
  CHECK(bed.scheduler.totals().queued == 2);
  const SlaveId slave = bed.slave(4);
  bed.turn();
  CHECK(bed.held[slave] == std::vector<TaskId>{tasks[0], tasks[2]});
}

TEST_CASE("a task that was sent is cancelled by its slave") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  const Cancellation cancellation = bed.scheduler.cancel(task);
  CHECK(cancellation.found == Found::sent);
  CHECK(cancellation.slaves[0] == slave);
  CHECK(cancellation.slaves[1] == kNoSlave);
  const Verdict verdict = bed.finish(slave, task, AttemptEnd::cancelled);
  CHECK(verdict.action == Action::deliver);
  CHECK(verdict.end == AttemptEnd::cancelled);
}

TEST_CASE("a cancelled task that comes to an end of its own ends as cancelled") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  bed.scheduler.cancel(task);
  CHECK(bed.finish(slave, task, AttemptEnd::value).end == AttemptEnd::cancelled);
}

TEST_CASE("a cancelled task is not tried again") {
  const auto end =
      GENERATE(AttemptEnd::crashed, AttemptEnd::lost_uncharged, AttemptEnd::given_back);
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  bed.scheduler.cancel(task);
  const Verdict verdict = bed.finish(slave, task, end);
  CHECK(verdict.action == Action::deliver);
  CHECK(verdict.end == AttemptEnd::cancelled);
  CHECK(bed.scheduler.totals().queued == 0);
}

TEST_CASE("a cancelled task of a lost slave ends as cancelled") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  bed.scheduler.cancel(task);
  bed.lose(slave);
  REQUIRE(bed.ended.size() == 1);
  CHECK(bed.ended[0].end == AttemptEnd::cancelled);
}

// ---- numbers ------------------------------------------------------------------------------

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
