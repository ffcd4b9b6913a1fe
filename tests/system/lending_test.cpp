// Functions and objects among the arguments of tasks.
#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

std::vector<int> map_over(const std::vector<int>& numbers,
                          const knee::Function<int(int)>& function) {
  std::vector<int> results;
  for (const int number : numbers) results.push_back(function(number));
  return results;
}

int count_to(int last, const std::function<void(int)>& progress) {
  for (int i = 1; i <= last; ++i) progress(i);
  return last;
}

int descend(int depth, const std::function<int(int)>& function) {
  return depth == 0 ? 0 : 1 + function(depth - 1);
}

/// Leaves a mark and calls the function until that fails; then leaves its text.
void call_for_ever(std::string started, std::string ended,
                   const knee::Function<void(int)>& function) {
  leave_mark(started, "");
  try {
    for (int i = 0;; ++i) function(i);
  } catch (const Error& error) {
    leave_mark(ended, error.what());
    throw;
  }
}

/// Leaves its process's number and calls.
void call_once(std::string started, const knee::Function<void(int)>& function) {
  leave_mark(started, std::to_string(::getpid()));
  function(1);
}

knee::Function<int(int)> kept;

void keep(const knee::Function<int(int)>& function) {
  kept = function;
}
int use_kept(int number) {
  return kept(number);
}

void call_and_die(const knee::Function<int(int)>& function) {
  function(1);
  ::raise(SIGKILL);
}

std::string call_on_a_thread(const knee::Function<int(int)>& function) {
  std::string text;
  std::thread([copy = function, &text] { text = error_out_of([&] { copy(1); }).what(); }).join();
  return text + " " + std::to_string(function(2));
}

struct Sum {
  explicit Sum(int start) : value(start) {}
  int add(int number) { return value += number; }
  /// Asks the function for what to add.
  int add_from(const knee::Function<int()>& function) { return value += function(); }
  int value;
};

knee::Ref<Sum> kept_sum;
void keep_reference(knee::Ref<Sum> sum) {
  kept_sum = std::move(sum);
}
int add_to_kept(int number) {
  return kept_sum.call<&Sum::add>(number).get();
}

int add_twice(const knee::Ref<Sum>& sum, int number) {
  sum.call<&Sum::add>(number).get();
  return sum.call<&Sum::add>(number).get();
}
/// Sends the calls off and ends.
void add_all(const knee::Ref<Sum>& sum, int count) {
  for (int i = 0; i < count; ++i) (void)sum.call<&Sum::add>(1);
}
/// The object calls a function of the task's.
int add_own(const knee::Ref<Sum>& sum, int number) {
  return sum.call<&Sum::add_from>([number] { return number; }).get();
}

void write_line(std::ostream& out, const std::string& line) {
  out << line << '\n';
}
int write_lines(const knee::Ref<std::ostream>& out, int count) {
  for (int i = 1; i <= count; ++i) out.call<write_line>("line " + std::to_string(i)).get();
  return count;
}

/// Calls `round(cluster)` and looks for what it has left.
template <class Round>
void with_a_slave(unsigned slots, Round round) {
  SlaveProcess gandalf({.slots = slots});
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    round(cluster);
  }
  CHECK(leaks.found() == "");
}

}  // namespace

TEST_CASE("a task calls a function of the driver, on the callback thread") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    std::vector<int> seen;
    std::thread::id thread;
    auto mapped = cluster.call<map_over>(std::vector{1, 2, 3}, [&](int number) {
      seen.push_back(number);
      thread = std::this_thread::get_id();
      return number + 1;
    });
    CHECK(mapped.get() == std::vector{2, 3, 4});
    CHECK(seen == std::vector{1, 2, 3});
    CHECK(thread != std::this_thread::get_id());
  });
}

TEST_CASE("a function that cannot be copied may be an argument") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    auto base = std::make_unique<int>(10);
    auto add = [base = std::move(base)](int number) { return *base += number; };
    CHECK(cluster.call<map_over>(std::vector{1, 2}, std::move(add)).get() == std::vector{11, 13});
    const knee::Function<int()> count([kept = std::make_unique<int>(0)] { return ++*kept; });
    const auto copy = count;
    CHECK(count() == 1);
    CHECK(copy() == 2);
  });
}

TEST_CASE("a function made from none at all is empty, here and in a task") {
  int (*const pointer)(int) = nullptr;
  int Sum::*const member = nullptr;
  const knee::Function<int(int)> none(pointer);
  CHECK_FALSE(none);
  CHECK_FALSE(knee::Function<int(Sum)>(member));
  CHECK_FALSE(knee::Function<int(int)>(std::function<int(int)>()));
  const auto error = error_out_of([&] { none(1); });
  CHECK(error.kind() == Error::Kind::usage);
  CHECK_THAT(error.what(), Contains("an empty knee::Function was called"));
  with_a_slave(1, [&](knee::Cluster& cluster) {
    CHECK_THAT(error_of(cluster.call<map_over>(std::vector{1}, none)).what(),
               Contains("an empty knee::Function was called"));
  });
}

TEST_CASE("a task writes into a stream that the driver offers") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    std::ostringstream out;
    const auto offered = cluster.offer<std::ostream>(out);
    CHECK(cluster.call<write_lines>(offered, 3).get() == 3);
    CHECK(out.str() == "line 1\nline 2\nline 3\n");
    const auto sum = std::make_shared<Sum>(1);
    CHECK(cluster.call<add_twice>(cluster.offer(sum), 10).get() == 21);
    CHECK(sum->value == 21);
    CHECK(wait_until([&] { return sum.use_count() == 1; }));
  });
}

TEST_CASE("what a function holds that was given to a task ends on the callback thread") {
  SlaveProcess gandalf;
  std::thread::id called;
  std::atomic<std::thread::id> ended;
  {
    knee::Cluster cluster(reaching(gandalf));
    std::shared_ptr<void> held(nullptr, [&](void*) { ended = std::this_thread::get_id(); });
    auto mapped = cluster.call<map_over>(std::vector{1}, [&called, held](int number) {
      called = std::this_thread::get_id();
      return number;
    });
    held = nullptr;
    CHECK(mapped.get() == std::vector{1});
  }
  CHECK(called != std::thread::id());
  CHECK(ended.load() == called);
}

TEST_CASE("callbacks wait while they are paused, and tasks go on") {
  std::atomic<int> called = 0;  // until the cluster has ended
  with_a_slave(2, [&called](knee::Cluster& cluster) {
    cluster.pause_callbacks();
    auto bag = cluster.bag();
    for (int i = 0; i < 10; ++i) bag.call<twice>(i).then([&](int) { ++called; });
    auto counting = cluster.call<count_to>(3, [&](int) { ++called; });
    for (int i = 0; i < 10; ++i) CHECK(cluster.call<twice>(i).get() == 2 * i);
    CHECK(called == 0);
    CHECK_FALSE(counting.ready());
    cluster.resume_callbacks();
    bag.wait();
    CHECK(counting.get() == 3);
    CHECK(called == 13);
    cluster.pause_callbacks();
    cluster.call<twice>(1).then([&](int) { ++called; }, [&](const Error&) { ++called; });
  });
  CHECK(called == 14);
}

TEST_CASE("many tasks call functions while others do not, and none is lost") {
  with_a_slave(3, [](knee::Cluster& cluster) {
    constexpr int kTasks = 200;
    auto bag = cluster.bag();
    std::vector<int> progress(kTasks);
    Tally results(kTasks);
    for (int i = 0; i < kTasks; ++i) {
      bag.call<count_to>(
             5, [&progress, i](int step) { progress[static_cast<std::size_t>(i)] += step; })
          .then([](int) {});
      bag.call<rest>(i, 0).then([&results](int number) { results.add(number); });
    }
    bag.wait();
    CHECK(progress == std::vector<int>(kTasks, 15));
    CHECK(results.complaints() == "");
  });
}

TEST_CASE("a callback may call further tasks that call back, five deep") {
  with_a_slave(6, [](knee::Cluster& cluster) {
    std::function<int(int)> again = [&](int depth) {
      return cluster.call<descend>(depth, again).get();
    };
    CHECK(cluster.call<descend>(5, again).get() == 5);
  });
}

TEST_CASE("a callback may call further tasks though those that wait for it hold all slots") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    std::function<int(int)> again = [&](int depth) {
      return cluster.call<descend>(depth, again).get();
    };
    CHECK(cluster.call<descend>(5, again).get() == 5);
    // Also those behind many that call back as well, and commands.
    auto bag = cluster.bag();
    std::vector<knee::Promise<int>> all;
    std::atomic<int> failed = 0;
    for (int i = 0; i < 20; ++i)
      all.push_back(bag.call<descend>(2, [&](int depth) {
        failed += cluster.run({.arguments = {"true"}}).get().exit_code;
        return cluster.call<twice>(depth).get();
      }));
    for (auto& one : all) CHECK(one.get() == 3);
    bag.wait();
    CHECK(failed == 0);
    CHECK(cluster.call<twice>(4).get() == 8);
  });
}

TEST_CASE("a continuation may wait for a task though those that wait for it hold all slots") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    const auto same = [](int number) { return number; };
    std::atomic<int> sum = 0;
    auto bag = cluster.bag();
    bag.call<twice>(1).then([&](int) {
      auto first = cluster.call<descend>(1, same);
      sum += cluster.call<descend>(1, same).get() + first.get();
    });
    bag.wait();
    CHECK(sum == 2);
  });
}

TEST_CASE("a callback that throws makes the task throw with the same text") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    const auto error = error_of(cluster.call<map_over>(
        std::vector{1}, [](int) -> int { throw std::runtime_error("no more of that"); }));
    CHECK(error.kind() == Error::Kind::exception);
    CHECK_THAT(error.exception_text(), Contains("no more of that"));
  });
}

TEST_CASE("when a task is cancelled its functions are not called any more, and it learns of it") {
  const TemporaryFolder folder;
  with_a_slave(1, [&](knee::Cluster& cluster) {
    std::atomic<int> calls = 0;
    auto task =
        cluster.call<call_for_ever>(folder / "started", folder / "ended", [&](int) { ++calls; });
    wait_for_marks(folder / "started");
    REQUIRE(wait_until([&] { return calls > 10; }));
    task.cancel();
    CHECK(error_of(std::move(task)).kind() == Error::Kind::cancelled);
    const int then = calls;
    wait_for_marks(folder / "ended");
    CHECK_THAT(marks_in(folder / "ended").front(), Contains("was cancelled"));
    CHECK(cluster.call<twice>(4).get() == 8);
    CHECK(calls == then);
  });
}

TEST_CASE("what a task that is gone has asked for and has not begun is not called") {
  const TemporaryFolder folder;
  for (const bool killed : {false, true}) {
    INFO((killed ? "killed" : "cancelled"));
    const std::string started = folder / (killed ? "killed" : "cancelled");
    with_a_slave(1, [&](knee::Cluster& cluster) {
      bool called = false;
      cluster.pause_callbacks();
      auto task = cluster.call<call_once>(started, [&](int) { called = true; });
      wait_for_marks(started);
      // Time for the call to come; without it the test cannot fail.
      CHECK(cluster.slave("gandalf").info().connected);
      if (killed)
        ::kill(std::stoi(marks_in(started).front()), SIGKILL);
      else
        task.cancel();
      CHECK_THROWS_AS(task.get(), Error);
      cluster.resume_callbacks();
      std::atomic<bool> passed = false;
      cluster.call<twice>(1).then([&](int) { passed = true; });
      CHECK(wait_until([&] { return passed.load(); }));
      CHECK_FALSE(called);
    });
  }
}

TEST_CASE("a bag may end while callbacks are paused") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    int called = 0;
    cluster.pause_callbacks();
    {
      auto bag = cluster.bag();
      bag.call<twice>(1).then([&](int) { ++called; }, [&](const Error&) { ++called; });
    }
    CHECK(called == 1);
  });
}

TEST_CASE("a function that a task has kept cannot be called by another") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    bool called = false;
    cluster
        .call<keep>([&](int number) {
          called = true;
          return number;
        })
        .get();
    const auto error = error_of(cluster.call<use_kept>(3));
    CHECK(error.kind() == Error::Kind::exception);
    CHECK_THAT(error.what(), Contains("not answered"));
    CHECK_FALSE(called);
  });
}

TEST_CASE("a reference that a task has kept cannot be used by another") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    const auto sum = cluster.slave("gandalf").make<Sum>(1);
    cluster.call<keep_reference>(sum).get();
    const auto error = error_of(cluster.call<add_to_kept>(3));
    CHECK(error.kind() == Error::Kind::exception);
    CHECK_THAT(error.what(), Contains("not answered"));
    CHECK(sum.get<&Sum::value>().get() == 1);
  });
}

TEST_CASE("a task with functions is not run twice unless that is asked for") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    int calls = 0;
    const auto count = [&](int) { return ++calls; };
    CHECK(error_of(cluster.call<call_and_die>(count)).kind() == Error::Kind::crashed);
    CHECK(calls == 1);
    calls = 0;
    CHECK(error_of(cluster.call<call_and_die>(knee::TaskOptions{.attempts = 2}, count)).kind() ==
          Error::Kind::crashed);
    CHECK(calls == 2);
  });
}

TEST_CASE("functions are called on the thread that runs the task, and nowhere else") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    const auto text = cluster.call<call_on_a_thread>([](int number) { return 10 * number; }).get();
    CHECK_THAT(text, Contains("only on the thread") && Catch::EndsWith(" 20"));
  });
}

TEST_CASE("a task uses an object of its own slave, and one of another") {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto here = cluster.slave("gandalf").make<Sum>(1);
  const auto there = cluster.slave("frodo").make<Sum>(2);
  CHECK(cluster.slave("gandalf").call<add_twice>(here, 10).get() == 21);
  CHECK(cluster.slave("gandalf").call<add_twice>(there, 10).get() == 22);
  CHECK(here.get<&Sum::value>().get() == 21);
}

TEST_CASE("what a task sends to an object and does not wait for arrives nevertheless") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    const auto sum = cluster.slave("gandalf").make<Sum>(0);
    cluster.call<add_all>(sum, 100).get();
    CHECK(sum.get<&Sum::value>().get() == 100);
  });
}

TEST_CASE("an object that a task calls may call a function of the task") {
  with_a_slave(1, [](knee::Cluster& cluster) {
    const auto sum = cluster.slave("gandalf").make<Sum>(5);
    CHECK(cluster.call<add_own>(sum, 7).get() == 12);
    CHECK(cluster.call<add_own>(sum, 1).get() == 13);
  });
}

TEST_CASE("an argument may refer to an object on a slave that comes later") {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1, .start = false});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  cluster.slave("gandalf").call<twice>(1).get();
  const auto late = cluster.slave("frodo").make<Sum>(2);
  auto task = cluster.slave("gandalf").call<add_twice>(late, 10);
  auto call = cluster.slave("gandalf").make<Sum>(0).call<&Sum::add_from>(
      knee::Function<int()>([&] { return late.get<&Sum::value>().get(); }));
  CHECK_FALSE(task.ready());
  frodo.start();
  CHECK(task.get() == 22);
  const int seen = call.get();
  CHECK((seen == 2 || seen == 12 || seen == 22));
}

TEST_CASE("references of another cluster are refused as arguments") {
  SlaveProcess gandalf;
  knee::Cluster one(reaching(gandalf));
  knee::Cluster other(reaching(gandalf));
  const auto sum = one.slave("gandalf").make<Sum>(2);
  const auto error = error_out_of([&] { (void)other.call<add_twice>(sum, 1); });
  CHECK(error.kind() == Error::Kind::usage);
  CHECK_THAT(error.what(), Contains("another Cluster"));
}

TEST_CASE("a task that calls a driver that has died ends with its session") {
  SlaveProcess gandalf({.slots = 1});
  const TemporaryFolder folder;
  const LeakCheck leaks({&gandalf});
  DriverProcess driver(
      {.part = "lend", .arguments = {folder / "started"}, .slaves = {gandalf.address()}});
  wait_for_marks(folder / "started");
  driver.kill();
  CHECK(wait_until([&] { return gandalf.family().empty(); }));
  CHECK(leaks.found() == "");
}
