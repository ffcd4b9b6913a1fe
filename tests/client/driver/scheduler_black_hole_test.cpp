#include <catch2/catch.hpp>

#include "tests/client/driver/scheduler_fixture.h"

using namespace knee::driver;
using Action = Verdict::Action;

namespace {

/// Everything the bad slave runs crashes at once, the others succeed.
struct BadSlaveBed : Bed {
  SlaveId bad = slave(1);
  std::vector<SlaveId> good{slave(1), slave(1), slave(1)};
  int crashes = 0;

  void step() {
    turn();
    now += 1ms;
    while (holds(bad) > 0) {
      finish_next(bad, AttemptEnd::crashed);
      ++crashes;
    }
    for (const SlaveId slave : good) {
      if (holds(slave) > 0) finish_next(slave, AttemptEnd::value, 10ms);
    }
  }
};

}  // namespace

TEST_CASE("a slave on which tasks crash that succeed elsewhere is suspended, and said so") {
  BadSlaveBed bed;
  bed.submit(1000);
  for (int i = 0; i < 30; ++i) bed.step();
  CHECK(bed.suspended(bed.bad));
  CHECK(bed.crashes <= 6);
  for (const SlaveId slave : bed.good) CHECK_FALSE(bed.suspended(slave));
  const std::vector<SlaveEvent> events = bed.events();
  REQUIRE(events.size() == 1);
  CHECK(events[0].what == SlaveEvent::What::suspended);
  CHECK(events[0].slave == bed.bad);
  CHECK(events[0].back_off == 1s);
  CHECK(bed.events().empty());
}

TEST_CASE("a black hole is noticed before the long tasks of the others have ended") {
  Bed bed;
  const SlaveId bad = bed.slave(1);
  for (int i = 0; i < 5; ++i) bed.slave(1);
  bed.submit(1000);
  int crashes = 0;
  for (int i = 0; i < 50; ++i) {
    bed.turn();
    bed.now += 1ms;
    while (bed.holds(bad) > 0) {
      bed.finish_next(bad, AttemptEnd::crashed);
      ++crashes;
    }
  }
  CHECK(bed.suspended(bad));
  CHECK(crashes <= 6);
}

TEST_CASE("the back-off doubles up to five minutes") {
  BadSlaveBed bed;
  bed.submit(100'000);
  std::vector<Duration> back_offs;
  for (int round = 0; round < 12; ++round) {
    do {
      bed.step();
    } while (!bed.suspended(bed.bad));
    for (const SlaveEvent& event : bed.events()) {
      if (event.what == SlaveEvent::What::suspended) back_offs.push_back(event.back_off);
    }
    const Time until = *bed.scheduler.state_of(bed.bad).suspended_until;
    CHECK(bed.scheduler.next_deadline(bed.now).value() <= until);
    bed.now = until;
  }
  REQUIRE(back_offs.size() == 12);
  CHECK(back_offs[0] == 1s);
  CHECK(back_offs[1] == 2s);
  CHECK(back_offs[2] == 4s);
  CHECK(back_offs[11] == 5min);
}

TEST_CASE("after its back-off a slave is on trial with one task, and a success frees it") {
  BadSlaveBed bed;
  bed.submit(1000);
  while (!bed.suspended(bed.bad)) bed.step();
  bed.now = *bed.scheduler.state_of(bed.bad).suspended_until;
  bed.turn();
  CHECK_FALSE(bed.suspended(bed.bad));
  CHECK(bed.holds(bed.bad) == 1);
  bed.finish_next(bed.bad, AttemptEnd::value);
  bed.turn();
  CHECK(bed.holds(bed.bad) == 2);
  bed.events();
  while (!bed.suspended(bed.bad)) bed.step();  // bad again: the back-off starts anew
  CHECK(bed.events().at(0).back_off == 1s);
}

TEST_CASE("a task that crashes everywhere suspends nobody") {
  Bed bed;
  std::vector<SlaveId> slaves{bed.slave(1), bed.slave(1), bed.slave(1), bed.slave(1)};
  TaskFacts deadly;
  deadly.kind = 1;
  deadly.attempts = 3;
  for (int round = 0; round < 20; ++round) {
    const TaskId task = bed.submit_one(deadly);
    bed.submit(12);
    for (int i = 0; i < 12; ++i) {
      bed.turn();
      bed.now += 1ms;
      for (const SlaveId slave : slaves) {
        if (bed.holds(slave) == 0) continue;
        const TaskId next = bed.held[slave][0];
        bed.finish(slave, next, next == task ? AttemptEnd::crashed : AttemptEnd::value);
      }
    }
  }
  for (const SlaveId slave : slaves) CHECK_FALSE(bed.suspended(slave));
  CHECK(bed.events().empty());
}

TEST_CASE("a program that always crashes ends all its tasks and suspends few slaves") {
  Bed bed;
  std::vector<SlaveId> slaves;
  for (int i = 0; i < 8; ++i) slaves.push_back(bed.slave(2));
  bed.submit(500);
  int delivered = 0;
  for (int i = 0; i < 2000 && delivered < 500; ++i) {
    bed.turn();
    bed.now += 1ms;
    int suspended = 0;
    for (const SlaveId slave : slaves) {
      if (bed.holds(slave) > 0) {
        delivered += bed.finish_next(slave, AttemptEnd::crashed).action == Action::deliver;
      }
      suspended += bed.suspended(slave);
    }
    CHECK(suspended <= 4);
  }
  CHECK(delivered == 500);
}

TEST_CASE("the only slave is never suspended") {
  Bed bed;
  const SlaveId slave = bed.slave(1);
  bed.submit(50);
  int delivered = 0;
  while (bed.turn() > 0 || bed.holds(slave) > 0) {
    delivered += bed.finish_next(slave, AttemptEnd::crashed).action == Action::deliver;
  }
  CHECK(delivered == 50);
  CHECK(bed.events().empty());
}

TEST_CASE("when the last good slave is lost the least bad one is taken back") {
  BadSlaveBed bed;
  bed.submit(1000);
  while (!bed.suspended(bed.bad)) bed.step();
  for (const SlaveId slave : bed.good) bed.lose(slave);
  CHECK_FALSE(bed.suspended(bed.bad));
  CHECK(bed.turn() > 0);
}

TEST_CASE("tasks a suspended slave has not started are taken back") {
  Bed bed;
  const SlaveId bad = bed.slave(4);
  const SlaveId other = bed.slave(1);
  bed.submit(100);
  bed.turn();
  REQUIRE(bed.holds(bad) == 8);
  bed.scheduler.started(bed.held[bad][4], bad, bed.now);
  for (int i = 0; i < 4; ++i) bed.finish_next(bad, AttemptEnd::crashed);
  REQUIRE(bed.suspended(bad));
  const std::vector<TakeBack> requests = bed.take_backs();
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].slave == bad);
  CHECK(requests[0].count == 3);
  CHECK(bed.take_backs().empty());  // asked once
  bed.give_back(bad, 3);
  CHECK(bed.holds(bad) == 1);
  CHECK_FALSE(bed.suspended(other));
}

TEST_CASE("a slave whose workers die before they start anything is suspended") {
  Bed bed;
  const SlaveId bad = bed.slave(1);
  bed.slave(1);
  bed.submit(100);
  for (int i = 0; i < 20 && !bed.suspended(bad); ++i) {
    bed.turn();
    bed.now += 1ms;
    while (bed.holds(bad) > 0) bed.finish_next(bad, AttemptEnd::lost_uncharged);
  }
  CHECK(bed.suspended(bad));
}

TEST_CASE("a slave that crashes one task in twenty is kept") {
  Bed bed;
  const SlaveId flaky = bed.slave(1);
  const SlaveId good = bed.slave(1);
  bed.submit(5000);
  for (int i = 0; i < 2000; ++i) {
    bed.turn();
    bed.now += 1ms;
    bed.finish_next(flaky, i % 20 == 0 ? AttemptEnd::crashed : AttemptEnd::value);
    bed.finish_next(good);
    CHECK_FALSE(bed.suspended(flaky));
  }
}
