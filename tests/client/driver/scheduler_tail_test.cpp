// The end of a bag: take-backs and twins.
#include <catch2/catch.hpp>

#include "tests/client/driver/scheduler_fixture.h"

using namespace knee::driver;
using Action = Verdict::Action;
using Found = Cancellation::Found;

namespace {

/// One slave runs two long tasks and holds two ahead, another one is idle; nothing is queued.
struct TailBed : Bed {
  SlaveId busy;
  SlaveId idle;
  TailBed() {
    teach(0, 10s);
    busy = slave(2);
    submit(4);
    turn();
    idle = slave(2);
    for (int i = 0; i < 2; ++i) scheduler.started(held[busy][i], busy, now);
    now += 1s;
  }
};

/// A repeatable task that has lagged on one slave, and an idle slave.
struct StragglerBed : Bed {
  SlaveId slow;
  SlaveId idle;
  TaskId task;
  explicit StragglerBed(TaskFacts facts = repeatable()) {
    teach(0, 1s);
    slow = slave(1);
    task = submit_one(facts);
    turn();
    scheduler.started(task, slow, now);
    idle = slave(1);
  }
  static TaskFacts repeatable() {
    TaskFacts facts;
    facts.repeatable = true;
    return facts;
  }
  void lag() {
    now += 5s;
    turn();
  }
};

}  // namespace

TEST_CASE("at the end of a bag tasks are taken back from a busy slave for an idle one") {
  TailBed bed;
  REQUIRE(bed.holds(bed.busy) == 4);
  const std::vector<TakeBack> requests = bed.take_backs();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].slave == bed.busy);
  CHECK(requests[0].count >= 1);
  CHECK(requests[0].count <= 2);
  bed.give_back(bed.busy, requests[0].count);
  bed.turn();
  CHECK(bed.holds(bed.idle) == requests[0].count);
}

TEST_CASE("there is at most one take-back pending per slave, and an empty answer is respected") {
  TailBed bed;
  REQUIRE(bed.take_backs().size() == 1);
  bed.now += 10s;
  CHECK(bed.take_backs().empty());
  bed.scheduler.take_back_done(bed.busy, 0, bed.now);
  CHECK(bed.take_backs().empty());
  bed.now += 60ms;
  CHECK(bed.take_backs().size() == 1);
}

TEST_CASE("nothing is taken back while tasks are queued or no slot is idle") {
  TailBed bed;
  bed.submit(100);
  bed.turn();
  CHECK(bed.take_backs().empty());
  Bed full;
  const SlaveId slave = full.slave(1);
  full.submit(2);
  full.turn();
  CHECK(full.holds(slave) == 2);
  full.now += 10s;
  CHECK(full.take_backs().empty());
}

TEST_CASE("tasks that start within a millisecond are not taken back") {
  Bed bed;
  bed.teach(0, 10us);
  const SlaveId busy = bed.slave(1);
  bed.submit(10);
  bed.turn();
  REQUIRE(bed.holds(busy) > 1);
  bed.slave(1);
  CHECK(bed.take_backs().empty());
}

TEST_CASE("of many short tasks a busy slave keeps its part") {
  Bed bed;
  bed.teach(0, 1ms);
  const SlaveId busy = bed.slave(1);
  bed.submit(200);
  for (int i = 0; i < 150; ++i) {
    bed.turn();
    bed.now += 20ms;  // a turnaround that makes its credit large
    bed.finish_next(busy, AttemptEnd::value, 1ms);
  }
  bed.submit(100);
  bed.turn();
  while (bed.scheduler.totals().queued > 0) {
    bed.now += 1ms;
    bed.finish_next(busy, AttemptEnd::value, 1ms);
    bed.turn();
  }
  const std::size_t count = bed.holds(busy);
  if (count < 4) return;  // nothing to share
  bed.slave(1);
  bed.now += 100ms;
  for (const TakeBack& request : bed.take_backs()) CHECK(request.count <= count / 2 + 1);
}

TEST_CASE("a hundred busy slaves are not all asked for one idle slot") {
  Bed bed;
  bed.teach(0, 10s);
  for (int i = 0; i < 100; ++i) bed.slave(1);
  bed.submit(200);
  bed.turn();
  CHECK(bed.scheduler.totals().sent == 200);
  bed.slave(1);
  bed.now += 1s;
  CHECK(bed.take_backs().size() == 1);
  bed.now += 1s;
  CHECK(bed.take_backs().empty());  // the first answer is on its way
}

TEST_CASE("a slave lost with a take-back pending does not block the next one") {
  TailBed bed;
  REQUIRE(bed.take_backs().size() == 1);
  bed.lose(bed.busy);
  bed.turn();
  const SlaveId fresh = bed.slave(2);
  REQUIRE(bed.holds(bed.idle) + bed.holds(fresh) >= 2);
  bed.turn();
  CHECK(bed.scheduler.totals().queued == 0);
}

TEST_CASE("a pinned task is not taken back for others") {
  Bed bed;
  bed.teach(0, 10s);
  const SlaveId busy = bed.slave(1);
  TaskFacts pinned;
  pinned.pinned = busy;
  bed.submit(2, pinned);
  bed.turn();
  REQUIRE(bed.holds(busy) == 2);
  bed.slave(1);
  bed.now += 1s;
  CHECK(bed.take_backs().empty());
}

TEST_CASE("a straggler of a repeatable bag gets one twin, and the twin that wins names the loser") {
  StragglerBed bed;
  bed.lag();
  REQUIRE(bed.holds(bed.idle, bed.task));
  CHECK(bed.scheduler.totals().sent == 2);
  const SlaveId third = bed.slave(1);
  bed.lag();
  CHECK(bed.holds(third) == 0);
  const Verdict win = bed.finish(bed.idle, bed.task, AttemptEnd::value);
  CHECK(win.action == Action::deliver);
  CHECK(win.loser == bed.slow);
  CHECK(bed.scheduler.state_of(bed.slow).held_tasks == 1);  // busy until it says so
  CHECK(bed.finish(bed.slow, bed.task, AttemptEnd::cancelled).action == Action::ignore);
  CHECK(bed.scheduler.state_of(bed.slow).held_tasks == 0);
  CHECK(bed.scheduler.totals().sent == 0);
}

TEST_CASE("the first attempt may win over its twin") {
  StragglerBed bed;
  CHECK_FALSE(bed.scheduler.has_twin(bed.task));
  bed.lag();
  CHECK(bed.scheduler.has_twin(bed.task));
  const Verdict win = bed.finish(bed.slow, bed.task, AttemptEnd::value);
  CHECK(win.action == Action::deliver);
  CHECK(win.loser == bed.idle);
  CHECK_FALSE(bed.scheduler.has_twin(bed.task));
  CHECK(bed.finish(bed.idle, bed.task, AttemptEnd::value).action == Action::ignore);
  CHECK(bed.scheduler.totals().sent == 0);
}

TEST_CASE("only repeatable tasks with two attempts left get twins") {
  TaskFacts plain;
  TaskFacts once = StragglerBed::repeatable();
  once.attempts = 1;
  for (const TaskFacts& facts : {plain, once}) {
    StragglerBed bed(facts);
    bed.lag();
    CHECK(bed.holds(bed.idle) == 0);
  }
}

TEST_CASE("a task that takes less than twice as long as others, or under 50 ms, is no straggler") {
  StragglerBed bed;
  bed.now += 1900ms;
  bed.turn();
  CHECK(bed.holds(bed.idle) == 0);
  Bed quick;
  quick.teach(0, 1ms);
  const SlaveId slow = quick.slave(1);
  const TaskId task = quick.submit_one(StragglerBed::repeatable());
  quick.turn();
  quick.scheduler.started(task, slow, quick.now);
  const SlaveId idle = quick.slave(1);
  quick.now += 40ms;
  quick.turn();
  CHECK(quick.holds(idle) == 0);
  quick.now += 100ms;
  quick.turn();
  CHECK(quick.holds(idle) == 1);
}

TEST_CASE("a task that should have started gets a twin, though nothing was heard of it") {
  Bed bed;
  bed.teach(0, 100ms);
  const SlaveId stands_still = bed.slave(2);
  const TaskId task = bed.submit_one(StragglerBed::repeatable());
  bed.turn();
  REQUIRE(bed.holds(stands_still, task));
  const SlaveId idle = bed.slave(1);
  bed.now += 1s;  // news may take so long
  bed.turn();
  CHECK(bed.holds(idle) == 0);
  bed.now = bed.scheduler.next_deadline(bed.now).value() + 1s;
  bed.turn();
  CHECK(bed.holds(idle, task));
  CHECK(bed.finish(idle, task, AttemptEnd::value).loser == stands_still);
}

TEST_CASE("no twin for a task that waits behind others, until its turn has come and gone") {
  Bed bed;
  bed.teach(0, 100ms);
  const SlaveId busy = bed.slave(1);
  const std::vector<TaskId> tasks = bed.submit(2, StragglerBed::repeatable());
  bed.turn();
  REQUIRE(bed.holds(busy) == 2);
  bed.scheduler.started(tasks[0], busy, bed.now);
  const SlaveId idle = bed.slave(1);
  bed.now += 150ms;
  REQUIRE(bed.take_backs().size() == 1);
  bed.scheduler.take_back_done(busy, 0, bed.now);  // it was just about to start
  bed.now += 10s;
  bed.turn();
  CHECK(bed.holds(idle, tasks[0]));
  CHECK_FALSE(bed.holds(idle, tasks[1]));
  bed.finish(busy, tasks[0], AttemptEnd::value);
  bed.finish(idle, tasks[0], AttemptEnd::cancelled);
  bed.now += 500ms;
  bed.turn();
  CHECK(bed.holds(idle) == 0);
  bed.now += 1s;
  bed.turn();
  CHECK(bed.holds(idle, tasks[1]));
}

TEST_CASE("a slave whose answers take long is given that time to report a start") {
  Bed bed;
  bed.teach(0, 100ms);
  const SlaveId far = bed.slave(1);
  for (int i = 0; i < 40; ++i) {
    TaskFacts pinned;
    pinned.pinned = far;
    bed.submit_one(pinned);
    bed.turn();
    bed.now += 340ms;
    bed.finish_next(far, AttemptEnd::value, 100ms);
  }
  const Duration turnaround = bed.scheduler.state_of(far).turnaround;
  REQUIRE(turnaround > 200ms);
  const TaskId task = bed.submit_one(StragglerBed::repeatable());
  bed.turn();
  REQUIRE(bed.holds(far, task));
  const SlaveId idle = bed.slave(1);
  bed.now += 1200ms + turnaround - 10ms;
  bed.turn();
  CHECK(bed.holds(idle) == 0);
  bed.now += 100ms;
  bed.turn();
  CHECK(bed.holds(idle, task));
}

TEST_CASE("no twin for a task that has not left, as what travels ahead of it is large") {
  Bed bed;
  bed.teach(0, 100ms);
  const SlaveId slow = bed.slave(1);
  const TaskId task = bed.submit_one(StragglerBed::repeatable());
  bed.turn();
  bed.scheduler.delayed(task, slow);
  const SlaveId idle = bed.slave(1);
  bed.now += 1min;
  bed.turn();
  CHECK(bed.holds(idle) == 0);
  bed.scheduler.left(task, slow, bed.now);
  bed.now += 1s;
  bed.turn();
  CHECK(bed.holds(idle) == 0);
  bed.now += 1s;
  bed.turn();
  REQUIRE(bed.holds(idle, task));
  // The same of the twin, which is alone when the slave of the first is lost.
  bed.scheduler.delayed(task, idle);
  bed.lose(slow);
  const SlaveId third = bed.slave(1);
  bed.now += 1min;
  bed.turn();
  CHECK(bed.holds(third) == 0);
  bed.scheduler.left(task, idle, bed.now);
  bed.now += 2s;
  bed.turn();
  CHECK(bed.holds(third, task));
}

TEST_CASE("the scheduler asks to be called for stragglers") {
  StragglerBed bed;
  const auto deadline = bed.scheduler.next_deadline(bed.now);
  REQUIRE(deadline.has_value());
  for (int i = 0; i < 200 && bed.holds(bed.idle) == 0; ++i) {
    bed.now = bed.scheduler.next_deadline(bed.now).value() + 1us;
    bed.turn();
  }
  CHECK(bed.holds(bed.idle, bed.task));
}

TEST_CASE("a slave that may not run one straggler gets the next one") {
  Bed bed;
  bed.teach(0, 1s);
  const SlaveId first = bed.slave(2);
  const TaskId own = bed.submit_one(StragglerBed::repeatable());
  bed.turn();
  bed.scheduler.started(own, first, bed.now);
  bed.now += 5s;
  CHECK(bed.turn() == 0);  // its own straggler: no use
  const SlaveId second = bed.slave(1);
  TaskFacts pinned;
  pinned.pinned = second;
  bed.submit_one(pinned);  // keeps the second one busy
  bed.turn();
  const SlaveId third = bed.slave(1);
  bed.turn();
  REQUIRE(bed.holds(third, own));
  bed.finish(third, own, AttemptEnd::exception);
  bed.finish(first, own, AttemptEnd::cancelled);
  const TaskId wide_apart = bed.submit_one(StragglerBed::repeatable());
  bed.turn();
  const SlaveId holder = bed.holds(first, wide_apart) ? first : third;
  const SlaveId other = holder == first ? third : first;
  bed.scheduler.started(wide_apart, holder, bed.now);
  bed.now += 5s;
  bed.turn();
  CHECK(bed.holds(other, wide_apart));
}

TEST_CASE("an idle slave that found nothing suitable still has tasks taken back for it") {
  Bed bed;
  bed.teach(0, 10s);
  const SlaveId idle = bed.slave(1);
  const TaskId task = bed.submit_one();
  bed.turn();
  const SlaveId busy = bed.slave(1);
  bed.submit(2);
  bed.turn();
  REQUIRE(bed.holds(busy) == 2);
  bed.finish(idle, task, AttemptEnd::crashed);
  CHECK(bed.turn() == 0);  // the retry waits for the other slave
  bed.finish_next(busy, AttemptEnd::value, 10s);
  bed.turn();
  REQUIRE(bed.holds(busy, task));
  bed.now += 1s;
  bed.turn();
  CHECK(bed.take_backs().size() == 1);
}

TEST_CASE("no twin while tasks are queued") {
  StragglerBed bed;
  bed.submit(10);
  bed.lag();
  CHECK_FALSE(bed.holds(bed.idle, bed.task));
}

TEST_CASE("a twin that crashes is charged and the first attempt goes on") {
  StragglerBed bed;
  bed.lag();
  CHECK(bed.finish(bed.idle, bed.task, AttemptEnd::crashed).action == Action::ignore);
  CHECK(bed.finish(bed.slow, bed.task, AttemptEnd::crashed).action == Action::retry);
  bed.turn();
  const SlaveId fresh = bed.slave(1);
  bed.turn();
  const SlaveId holder = bed.holds(fresh, bed.task) ? fresh
                         : bed.holds(bed.slow)      ? bed.slow
                                                    : bed.idle;
  const Verdict last = bed.finish(holder, bed.task, AttemptEnd::crashed);
  CHECK(last.action == Action::deliver);  // the third start was the last
}

TEST_CASE("when the slave of the first attempt is lost its twin goes on alone") {
  StragglerBed bed;
  bed.lag();
  bed.lose(bed.slow);
  CHECK(bed.ended.empty());
  CHECK(bed.scheduler.totals().queued == 0);
  CHECK(bed.scheduler.totals().sent == 1);
  const Verdict win = bed.finish(bed.idle, bed.task, AttemptEnd::value);
  CHECK(win.action == Action::deliver);
  CHECK(win.loser == kNoSlave);
}

TEST_CASE("when the slave of a twin is lost the first attempt goes on alone") {
  StragglerBed bed;
  bed.lag();
  bed.lose(bed.idle);
  CHECK(bed.ended.empty());
  const Verdict win = bed.finish(bed.slow, bed.task, AttemptEnd::value);
  CHECK(win.action == Action::deliver);
  CHECK(win.loser == kNoSlave);
}

TEST_CASE("when the slave of a loser is lost nothing is delivered again") {
  StragglerBed bed;
  bed.lag();
  bed.finish(bed.idle, bed.task, AttemptEnd::value);
  bed.lose(bed.slow);
  CHECK(bed.ended.empty());
  CHECK(bed.scheduler.totals().sent == 0);
  CHECK(bed.scheduler.totals().queued == 0);
}

TEST_CASE("cancelling a task with a twin tells both slaves and delivers once") {
  StragglerBed bed;
  bed.lag();
  const Cancellation cancellation = bed.scheduler.cancel(bed.task);
  CHECK(cancellation.found == Found::sent);
  CHECK(cancellation.slaves[0] == bed.slow);
  CHECK(cancellation.slaves[1] == bed.idle);
  CHECK(bed.finish(bed.slow, bed.task, AttemptEnd::cancelled).action == Action::deliver);
  CHECK(bed.scheduler.cancel(bed.task).found == Found::gone);
  CHECK(bed.finish(bed.idle, bed.task, AttemptEnd::cancelled).action == Action::ignore);
}

TEST_CASE("tasks of a slave that does not answer count as stragglers though they never started") {
  Bed bed;
  bed.teach(0, 1s);
  const SlaveId hung = bed.slave(1);
  const std::vector<TaskId> tasks = bed.submit(2, StragglerBed::repeatable());
  bed.turn();
  const SlaveId idle = bed.slave(1);
  bed.now += 500ms;
  REQUIRE(bed.take_backs().size() == 1);
  bed.now += 10s;
  bed.turn();
  CHECK(bed.holds(idle) == 1);
  bed.finish_next(idle, AttemptEnd::value, 1s);
  bed.turn();
  CHECK(bed.holds(idle) == 1);
  CHECK(bed.holds(hung) == 2);
}
