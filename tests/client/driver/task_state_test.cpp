#include <knee/bag.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <iostream>
#include <sstream>
#include <thread>
#include <vector>

#include "task_fixture.h"

using namespace knee;
using namespace knee::test;
using detail::TaskRef;
using detail::TaskState;

namespace {

int twice(int x) {
  return 2 * x;
}

std::string what(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& failure) {
    return failure.what();
  }
}

}  // namespace

TEST_CASE_METHOD(TaskFixture,
                 "a continuation set before the end runs once, on the callback thread") {
  const auto one = task();
  std::atomic<int> calls = 0;
  std::thread::id where;
  one->consume([&](TaskState& state) {
    ++calls;
    where = std::this_thread::get_id();
    CHECK(state.done());
  });
  CHECK(calls == 0);
  complete(one);
  REQUIRE(idle());
  CHECK(calls == 1);
  CHECK(where != std::this_thread::get_id());
  CHECK(bag->done == 1);
}

TEST_CASE_METHOD(TaskFixture,
                 "a continuation set after the end runs once, and the bag waits for it") {
  const auto one = task();
  complete(one);
  REQUIRE(idle());
  std::atomic<int> calls = 0;
  one->consume([&](TaskState&) { ++calls; });
  REQUIRE(idle());
  CHECK(calls == 1);
}

TEST_CASE_METHOD(TaskFixture, "a task is counted once, whenever its consumer came") {
  const auto good = task();
  const auto bad = task();
  complete(good);
  fail(bad, "late");
  REQUIRE(idle());
  good->consume([](TaskState&) {});
  bad->consume([](TaskState&) {});
  REQUIRE(idle());
  CHECK(bag->done == 1);
  CHECK(bag->failed == 1);
}

TEST_CASE_METHOD(TaskFixture, "a continuation that runs anywhere needs no callback thread") {
  const auto here = std::this_thread::get_id();
  std::thread::id where;
  const auto early = task();
  early->consume([&](TaskState&) { where = std::this_thread::get_id(); }, true);
  complete(early);
  CHECK(where == here);
  where = {};
  const auto late = task();
  complete(late);
  late->consume([&](TaskState&) { where = std::this_thread::get_id(); }, true);
  CHECK(where == here);
}

TEST_CASE_METHOD(TaskFixture, "the end and its consumer may race: it runs exactly once") {
  constexpr int kTasks = 3000;
  std::atomic<int> calls = 0;
  std::vector<TaskRef> tasks;
  for (int i = 0; i < kTasks; ++i) tasks.push_back(task());
  std::thread ending([&] {
    for (const auto& one : tasks) complete(one);
  });
  for (const auto& one : tasks) one->consume([&](TaskState&) { ++calls; });
  ending.join();
  REQUIRE(idle());
  CHECK(calls == kTasks);
}

TEST_CASE_METHOD(TaskFixture, "waiting and the end may race: nobody waits for ever") {
  constexpr int kTasks = 3000;
  std::vector<TaskRef> tasks;
  for (int i = 0; i < kTasks; ++i) tasks.push_back(task());
  std::thread ending([&] {
    for (const auto& one : tasks) complete(one);
  });
  for (const auto& one : tasks) {
    one->wait();
    REQUIRE(one->done());
  }
  ending.join();
  CHECK(idle());
}

TEST_CASE_METHOD(TaskFixture, "several threads may wait for a task, one of them in a callback") {
  constexpr int kTasks = 300;
  std::atomic<int> returned = 0;
  for (int i = 0; i < kTasks; ++i) {
    const auto one = task();
    const auto before = task();
    const auto wait = [&] {
      one->wait();
      if (one->done()) ++returned;
    };
    before->consume([&](TaskState&) { wait(); });
    std::vector<std::thread> waiting;
    for (int n = 0; n < 3; ++n) waiting.emplace_back(wait);
    complete(before);
    complete(one);
    for (auto& thread : waiting) thread.join();
    REQUIRE(idle());
  }
  CHECK(returned == 4 * kTasks);
}

TEST_CASE_METHOD(TaskFixture, "one may wait for a while, and what is to come can still be had") {
  const auto one = task();
  Promise<int> promise(one);
  CHECK_FALSE(promise.wait_for(std::chrono::milliseconds(1)));
  CHECK(promise.valid());
  encode(detail::Access::payload(*one), 7);
  std::thread ending([&] { complete(one); });
  CHECK(promise.wait_for(std::chrono::nanoseconds::max()));
  CHECK(promise.get() == 7);
  CHECK_THROWS_WITH(promise.wait_for({}), Catch::Contains("consumed before"));
  ending.join();
  CHECK(idle());
}

TEST_CASE_METHOD(TaskFixture, "a callback may wait for a while") {
  const auto one = task();
  const auto before = task();
  bool early = true;
  bool late = false;
  std::promise<void> looked;
  before->consume([&](TaskState&) {
    early = one->wait_until(detail::Deadline::clock::now() + std::chrono::milliseconds(1));
    looked.set_value();
    late = one->wait_until(detail::kNever);
  });
  complete(before);
  looked.get_future().wait();
  complete(one);
  REQUIRE(idle());
  CHECK_FALSE(early);
  CHECK(late);
}

TEST_CASE_METHOD(TaskFixture, "abandoning and the end may race: a failure is reported once") {
  constexpr int kTasks = 3000;
  std::vector<TaskRef> tasks;
  for (int i = 0; i < kTasks; ++i) tasks.push_back(task());
  std::thread ending([&] {
    for (const auto& one : tasks) fail(one, "dropped");
  });
  for (const auto& one : tasks) one->abandon();
  ending.join();
  REQUIRE(idle());
  CHECK(bag->failures == kTasks);
  CHECK(what(bag->first_failure) == "dropped");
}

TEST_CASE_METHOD(TaskFixture, "what a continuation throws is the bag's failure") {
  const auto one = task();
  one->consume([](TaskState&) { throw std::runtime_error("in the callback"); });
  complete(one);
  REQUIRE(idle());
  CHECK_THROWS_WITH(bag->rethrow(), "in the callback");
  CHECK_NOTHROW(bag->rethrow());
}

TEST_CASE_METHOD(TaskFixture, "a failure without a bag that nobody handles is said on stderr") {
  std::ostringstream text;
  auto* old = std::cerr.rdbuf(text.rdbuf());
  {
    const auto one = task(false);
    one->abandon();
    fail(one, "nobody cares");
  }
  std::cerr.rdbuf(old);
  CHECK(text.str() == "knee: unhandled failure: nobody cares\n");
}

TEST_CASE_METHOD(TaskFixture, "a promise gives a result once") {
  auto one = task();
  Promise<int> promise(one);
  CHECK(promise.valid());
  CHECK_FALSE(promise.ready());
  encode(detail::Access::payload(*one), 7);
  complete(one);
  CHECK(promise.ready());
  CHECK(promise.get() == 7);
  CHECK_FALSE(promise.valid());
  CHECK_FALSE(promise.ready());
  CHECK_THROWS_WITH(promise.get(), Catch::Contains("consumed before"));
  CHECK_THROWS_AS(promise.then([](int) {}), Error);
  promise.cancel();  // nothing to cancel
  CHECK(idle());
}

TEST_CASE_METHOD(TaskFixture,
                 "a promise throws the task's failure to who gets it, and the bag has none") {
  const auto one = task();
  Promise<int> promise(one);
  fail(one, "it broke");
  CHECK_THROWS_WITH(promise.get(), "it broke");
  CHECK(idle());
  CHECK_NOTHROW(bag->rethrow());
}

TEST_CASE_METHOD(TaskFixture, "a failure goes to on_error, or else to the bag") {
  const auto handled = task();
  const auto unhandled = task();
  std::string seen;
  Promise<int>(handled).then([](int) {},
                             [&](const std::exception_ptr& error) { seen = what(error); });
  Promise<int>(unhandled).then([](int) {});
  fail(handled, "handled");
  fail(unhandled, "unhandled");
  REQUIRE(idle());
  CHECK(seen == "handled");
  CHECK_THROWS_WITH(bag->rethrow(), "unhandled");
}

TEST_CASE_METHOD(TaskFixture,
                 "a promise overwritten or destroyed lets its task's failure go to the bag") {
  const auto one = task();
  {
    Promise<int> promise(one);
    promise = Promise<int>();
  }
  fail(one, "abandoned");
  CHECK_THROWS_WITH(bag->rethrow(), "abandoned");
}

TEST_CASE("a task that waits is cancelled: its consumer is told, once, and the bag ends") {
  driver::Driver driver(nowhere());
  Bag bag(driver, {.name = "bag"});
  auto promise = bag.call<twice>(1);
  promise.cancel();
  try {
    promise.get();
    FAIL("there was a result");
  } catch (const Error& error) {
    CHECK(error.kind() == Error::Kind::cancelled);
    CHECK_THAT(error.what(), Catch::Contains("bag: ") && Catch::Contains("twice") &&
                                 Catch::Contains("was cancelled"));
  }
  bag.wait();
}

TEST_CASE("the end of a driver cancels what waits, and its callbacks run") {
  std::atomic<int> cancelled = 0;
  {
    driver::Driver driver(nowhere());
    Bag bag(driver, {.name = "bag"});
    for (int i = 0; i < 100; ++i)
      bag.call<twice>(i).then([](int) {},
                              [&](const Error& error) {
                                if (error.kind() == Error::Kind::cancelled) ++cancelled;
                              });
  }
  CHECK(cancelled == 100);
}
