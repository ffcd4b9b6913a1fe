#include "client/driver/callback_thread.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdint>
#include <future>
#include <thread>
#include <vector>

#include "task_fixture.h"

using namespace knee;
using namespace knee::test;
using detail::Access;
using detail::TaskRef;
using detail::TaskState;
using driver::CallbackThread;

namespace {

/// Tasks that have ended and whose continuation is to be run.
struct Ended : TaskFixture {
  TaskRef ended(TaskState::Continuation continuation) {
    auto one = task();
    one->consume(std::move(continuation));
    REQUIRE(Access::complete(*one) == Access::Next::callback);
    return one;
  }
};

}  // namespace

TEST_CASE_METHOD(Ended, "continuations run one at a time, in order, on one thread") {
  std::vector<int> order;
  std::atomic<int> inside = 0;
  bool alone = true;
  {
    CallbackThread callbacks([] {});
    for (int batch = 0; batch < 10; ++batch) {
      std::vector<TaskRef> tasks;
      for (int i = 0; i < 100; ++i)
        tasks.push_back(ended([&, number = batch * 100 + i](TaskState&) {
          alone = alone && ++inside == 1 && callbacks.is_here();
          order.push_back(number);
          --inside;
        }));
      callbacks.post(tasks);
      CHECK(tasks.empty());
    }
    CHECK_FALSE(callbacks.is_here());
  }
  CHECK(alone);
  REQUIRE(order.size() == 1000);
  for (int i = 0; i < 1000; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
  CHECK(bag->done == 1000);
}

TEST_CASE_METHOD(Ended, "many threads post: each continuation runs once") {
  constexpr int kThreads = 4;
  constexpr int kEach = 1000;
  int calls = 0;
  {
    CallbackThread callbacks([] {});
    std::vector<std::vector<TaskRef>> tasks(kThreads);
    for (auto& list : tasks)
      for (int i = 0; i < kEach; ++i) list.push_back(ended([&](TaskState&) { ++calls; }));
    std::vector<std::thread> posting;
    for (auto& list : tasks)
      posting.emplace_back([&] {
        for (auto& one : list) callbacks.post(std::move(one));
      });
    for (auto& thread : posting) thread.join();
  }
  CHECK(calls == kThreads * kEach);
}

TEST_CASE_METHOD(Ended, "destruction runs what is left, and what that posts") {
  int depth = 0;
  {
    CallbackThread callbacks([] {});
    TaskState::Continuation inner = [&](TaskState&) { ++depth; };
    auto second = ended(std::move(inner));
    auto first = ended([&, second](TaskState&) {
      ++depth;
      callbacks.post(second);
    });
    callbacks.post(std::move(first));
  }
  CHECK(depth == 2);
}

TEST_CASE_METHOD(Ended,
                 "results that wait for slow continuations are noticed, and their end is told") {
  std::atomic<int> relieved = 0;
  CallbackThread callbacks([&] { ++relieved; });
  std::promise<void> entered;
  std::promise<void> leave;
  callbacks.post(ended([&](TaskState&) {
    entered.set_value();
    leave.get_future().wait();
  }));
  entered.get_future().wait();
  CHECK_FALSE(callbacks.congested());
  for (int i = 0; i < 65; ++i) {
    auto large = ended([](TaskState&) {});
    Access::payload(*large).extend(1024 * 1024);
    callbacks.post(std::move(large));
  }
  CHECK(callbacks.congested());
  CHECK(callbacks.congested());
  CHECK(bag->outstanding == 66);
  CHECK(relieved == 0);
  leave.set_value();
  REQUIRE(idle());
  CHECK(relieved == 1);
  CHECK_FALSE(callbacks.congested());
}

TEST_CASE_METHOD(Ended, "what a wait holds up is told while it waits and runs nothing itself") {
  using Numbers = std::vector<std::uint64_t>;
  auto outer = task();
  auto inner = task();
  std::promise<void> begun;
  std::promise<void> go;
  CallbackThread callbacks([] {});
  const auto until_it_waits_for = [&](const TaskRef& one) {
    while (callbacks.held_up().by.get() != one.get()) std::this_thread::yield();
  };
  CHECK_FALSE(callbacks.held_up().by);
  callbacks.post(ended([&](TaskState&) { callbacks.wait_until(*outer, 1, 2, detail::kNever); }));
  until_it_waits_for(outer);
  callbacks.post_call({.chain = 3, .number = 30}, [] {});
  CHECK(callbacks.held_up().calls == Numbers{30});
  CHECK(callbacks.held_up().running.empty());
  callbacks.post_call({.chain = 2, .number = 20}, [&] {
    begun.set_value();
    go.get_future().wait();
    callbacks.wait_until(*inner, 2, 2, detail::kNever);
  });
  begun.get_future().wait();
  CHECK_FALSE(callbacks.held_up().by);
  callbacks.post_call({.chain = 1, .number = 10}, [] {});  // not of the inner wait's chain
  go.set_value();
  until_it_waits_for(inner);
  CHECK(callbacks.held_up().calls == Numbers{30, 10});
  CHECK(callbacks.held_up().running == Numbers{20});
  for (auto& one : {&inner, &outer}) {
    Access::complete(**one);
    callbacks.wake();
  }
}

TEST_CASE_METHOD(Ended, "what a continuation throws becomes the failure of its bag") {
  CallbackThread callbacks([] {});
  callbacks.post(ended([](TaskState&) { throw std::runtime_error("callback"); }));
  REQUIRE(idle());
  CHECK_THROWS_WITH(bag->rethrow(), "callback");
}

TEST_CASE_METHOD(Ended, "a continuation is destroyed once it has run") {
  auto token = std::make_shared<int>(1);
  CallbackThread callbacks([] {});
  const auto one = ended([token](TaskState&) {});
  std::weak_ptr<int> watch = token;
  token.reset();
  CHECK_FALSE(watch.expired());
  callbacks.post(one);
  REQUIRE(idle());
  CHECK(watch.expired());
}
