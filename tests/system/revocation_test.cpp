// What a task was lent and has handed on to an object that outlives it.
#include <catch2/catch.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "tests/system/harness/marks.h"
#include "tests/system/live_objects.h"

using namespace knee::test;
using knee::Error;

namespace {

const auto has_ended = Catch::Contains("the task that it was given to has ended");

class Keeper {
 public:
  void keep(knee::Function<int(int)> function) { function_ = std::move(function); }
  int use(int number) { return function_(number); }
  void keep_counter(knee::Ref<Counter> counter) { counter_ = std::move(counter); }
  int use_counter(int number) { return counter_.call<kAddNumber>(number).get(); }
  void keep_listener(knee::Function<void(int)> listener) { listener_ = std::move(listener); }
  void tell(int number) { listener_(number); }

 private:
  knee::Function<int(int)> function_;
  knee::Function<void(int)> listener_;
  knee::Ref<Counter> counter_;
};

/// Tells that it has handed something on, and ends at once or when it is cancelled.
void end(const std::string& handed_on, bool when_cancelled) {
  leave_mark(handed_on, "");
  if (when_cancelled) (void)wait_until([] { return knee::this_task::cancelled(); });
}

void hand_on(const knee::Ref<Keeper>& keeper, const knee::Function<int(int)>& function,
             const std::string& handed_on, bool when_cancelled) {
  keeper.call<&Keeper::keep>(function).get();
  keeper.call<&Keeper::use>(1).get();
  end(handed_on, when_cancelled);
}

void hand_on_counter(const knee::Ref<Keeper>& keeper, const knee::Ref<Counter>& counter,
                     const std::string& handed_on, bool when_cancelled) {
  keeper.call<&Keeper::keep_counter>(counter).get();
  keeper.call<&Keeper::use_counter>(1).get();
  end(handed_on, when_cancelled);
}

/// Twice, with a keeper: `round(cluster, keeper, see_gone)`. `see_gone(start)` starts a task, waits
/// until it has handed something on, and for its end: by itself at first, then by cancelling it.
template <class Round>
void when_a_task_is_gone(Round round) {
  for (const bool cancelled : {false, true}) {
    INFO((cancelled ? "cancelled" : "ended"));
    const TemporaryFolder folder;
    with_a_slave([&](knee::Cluster& cluster, const knee::Slave& gandalf) {
      round(cluster, gandalf.make<Keeper>(), [&](const auto& start) {
        knee::Promise<void> task = start(folder / "handed on", cancelled);
        wait_for_marks(folder / "handed on");
        if (!cancelled) return task.get();
        task.cancel();
        CHECK(error_of(std::move(task)).kind() == Error::Kind::cancelled);
      });
    });
  }
}

}  // namespace

TEST_CASE("a function that a task has handed on to an object fails there when the task is gone") {
  when_a_task_is_gone([](knee::Cluster& cluster, const knee::Ref<Keeper>& keeper, auto see_gone) {
    std::atomic<int> calls = 0;
    see_gone([&](const std::string& handed_on, bool when_cancelled) {
      return cluster.call<hand_on>(
          keeper, [&](int) { return ++calls; }, handed_on, when_cancelled);
    });
    CHECK_THAT(error_of(keeper.call<&Keeper::use>(10)).what(), has_ended);
    CHECK(calls == 1);
  });
}

TEST_CASE("a function without a result that a task has handed on fails, too") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto keeper = gandalf.make<Keeper>();
    std::atomic<int> calls = 0;
    const auto hand_on_listener = [](const knee::Ref<Keeper>& to, knee::Function<void(int)> told) {
      to.call<&Keeper::keep_listener>(std::move(told)).get();
    };
    cluster.call(hand_on_listener, keeper, [&](int) { ++calls; }).get();
    CHECK_THAT(error_of(keeper.call<&Keeper::tell>(10)).what(), has_ended);
    CHECK(calls == 0);
  });
}

TEST_CASE("what a driver offers is not called by whom a task handed it on to, when that is gone") {
  when_a_task_is_gone([](knee::Cluster& cluster, const knee::Ref<Keeper>& keeper, auto see_gone) {
    const auto counter = std::make_shared<Counter>(0);
    see_gone([&](const std::string& handed_on, bool when_cancelled) {
      return cluster.call<hand_on_counter>(keeper, cluster.offer(counter), handed_on,
                                           when_cancelled);
    });
    CHECK_THAT(error_of(keeper.call<&Keeper::use_counter>(10)).what(), has_ended);
    CHECK(counter->current() == 1);
  });
}

TEST_CASE("an object of a slave that a task has handed on stays with whom it was given to") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const TemporaryFolder folder;
    const auto keeper = gandalf.make<Keeper>();
    const auto counter = gandalf.make<Counter>(0);
    cluster.call<hand_on_counter>(keeper, counter, folder / "handed on", false).get();
    CHECK(keeper.call<&Keeper::use_counter>(10).get() == 11);
    CHECK(counter.call<&Counter::current>().get() == 11);
  });
}
