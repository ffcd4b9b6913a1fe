// What becomes of an attempt that has ended, and of a task that is cancelled.
#include <catch2/catch.hpp>

#include "tests/client/driver/scheduler_fixture.h"

using namespace knee::driver;
using Action = Verdict::Action;
using Found = Cancellation::Found;

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
