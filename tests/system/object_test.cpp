#include <catch2/catch.hpp>

#include <algorithm>
#include <climits>
#include <memory>
#include <string>
#include <vector>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/slow_line.h"
#include "tests/system/live_objects.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

/// One for the whole process.
struct Diary {
  static inline std::string text;
  knee::Ref<Diary> another() { return knee::make_ref<Diary>(); }
  void note(const std::string& line) { text += line; }
  std::string all() const { return text; }
};

int times(const Counter& counter, int factor) {
  return counter.value * factor;
}

bool is_beside(Counter&, const knee::Ref<File>& file) {
  return file.local() != nullptr;
}

/// One of a chain.
struct Link {
  explicit Link(int number) : depth(number) {}
  knee::Ref<Link> next() const { return knee::make_ref<Link>(depth + 1); }
  void tell(const std::function<void(int)>& told) { told(depth); }
  int depth;
};

void tell(const knee::Function<void(int)>& told) {
  told(0);
}

}  // namespace

TEST_CASE("an object on a slave is made, called, read and changed") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto counter = gandalf.make<Counter>(3);
    CHECK(counter.call<kAddNumber>(4).get() == 7);
    CHECK(counter.call<kAddDouble>(0.6).get() == 8);
    CHECK(counter.call<&Counter::current>().get() == 8);
    CHECK(counter.call<&Counter::name>().get() == "counter");
    counter.call<&Counter::rename>("sum").get();
    CHECK(counter.call<&Counter::name>().get() == "sum");
    counter.set<&Counter::value>(20).get();
    CHECK(counter.get<&Counter::value>().get() == 20);
    CHECK(counter.call<times>(3).get() == 60);
    CHECK(counter.call<&Counter::raise_by>(2).get() == 22);
    CHECK(gandalf.objects() == 1);
  });
}

TEST_CASE("calls may be sent before their object is there, and come in order") {
  SlaveProcess gandalf({.start = false});
  knee::Cluster cluster(reaching(gandalf));
  const auto counter = cluster.slave("gandalf").make<Counter>(0);
  std::vector<knee::Promise<int>> sums;
  for (int i = 1; i <= 100; ++i) sums.push_back(counter.call<kAddNumber>(i));
  gandalf.start();
  for (int i = 1; i <= 100; ++i)
    CHECK(sums[static_cast<std::size_t>(i - 1)].get() == i * (i + 1) / 2);
}

TEST_CASE("what a call that returns a reference returns can be called at once") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    CHECK(gandalf.make<Folder>("home").call<&Folder::open>("notes").call<&File::read>().get() ==
          "what home/notes says");
    const auto file = gandalf.make<Folder>("home").call<&Folder::open>("notes");
    file.wait();
    CHECK(gandalf.objects() == 1);
  });
}

TEST_CASE("ten calls on objects that are still being made take hardly more than one round trip") {
  const std::chrono::milliseconds kOneWay = kTimeSlack == 1 ? 5ms : 60ms;
  SlaveProcess gandalf;
  const SlowLine line(gandalf.address(), kOneWay);
  knee::ClusterOptions options = reaching(gandalf);
  options.slaves = {line.address()};
  knee::Cluster cluster(options);
  const auto first = cluster.slave("gandalf").make<Link>(0);
  first.wait();
  std::vector<std::chrono::steady_clock::duration> times;
  for (int i = 0; i < 11; ++i) {
    int depth = 0;
    times.push_back(time_of([&] {
      auto last = first;
      for (int calls = 1; calls < 10; ++calls) last = last.call<&Link::next>();
      depth = last.get<&Link::depth>().get();
    }));
    CHECK(depth == 9);
    REQUIRE(times.back() > 2 * kOneWay);
  }
  // The best one: other programs may take their time from this one.
  CHECK(*std::min_element(times.begin(), times.end()) < 3 * kOneWay);
}

TEST_CASE("to make an object, have it open another and call that is one round trip") {
  constexpr auto kOneWay = 50ms;
  SlaveProcess gandalf;
  const SlowLine line(gandalf.address(), kOneWay);
  knee::ClusterOptions options = reaching(gandalf);
  options.slaves = {line.address()};
  knee::Cluster cluster(options);
  const auto slave = cluster.slave("gandalf");
  slave.make<Folder>("home").wait();  // the program is there
  const auto kept = slave.make<Folder>("home");
  kept.wait();
  // Heartbeats and the ends of calls may come in between, and on a busy machine everything takes
  // longer: neither the messages nor the clock say too little.
  const auto takes = [&](unsigned trips, const auto& use) {
    unsigned least = UINT_MAX;
    for (int i = 0; i < 10 && least > trips; ++i) {
      unsigned turns = 0;
      const auto took = time_of([&] { turns = line.turns_of(use); });
      least = std::min({least, turns, static_cast<unsigned>(took / (2 * kOneWay))});
    }
    return least == trips;
  };
  CHECK(takes(1, [&] {
    CHECK(slave.make<Folder>("home").call<&Folder::open>("notes").call<&File::read>().get() ==
          "what home/notes says");
  }));
  // A function may be called back, but never be what a call returns.
  int told = 0;
  slave.make<Link>(1).call<&Link::tell>([&](int) { ++told; }).get();
  cluster.call<tell>([&](int) { ++told; }).get();
  CHECK(told == 2);
  CHECK(takes(1, [&] {
    CHECK(slave.make<Folder>("home").call<&Folder::open>("notes").call<&File::read>().get() ==
          "what home/notes says");
  }));
  // Who waits for the folder needs another, and who waits for the file too a third.
  CHECK(takes(2, [&] {
    const auto folder = slave.make<Folder>("home");
    folder.wait();
    folder.call<&Folder::open>("notes").call<&File::read>().get();
  }));
  CHECK(takes(3, [&] {
    const auto folder = slave.make<Folder>("home");
    folder.wait();
    const auto file = folder.call<&Folder::open>("notes");
    file.wait();
    file.call<&File::read>().get();
  }));
}

TEST_CASE("what is called on a result comes before what is called later on another object") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto diary = gandalf.make<Diary>();
    const auto other = diary.call<&Diary::another>();
    auto first = other.call<&Diary::note>("first ");
    auto second = other.call<&Diary::another>().call<&Diary::note>("second ");
    auto third = diary.call<&Diary::note>("third");
    CHECK(diary.call<&Diary::all>().get() == "first second third");
  });
}

TEST_CASE("a constructor or method that throws says so to all that is called on its result") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto never = gandalf.make<Counter>(-1);
    const auto error = error_of(never.call<&Counter::current>());
    CHECK(error.kind() == Error::Kind::exception);
    CHECK(error.exception_type() == "std::invalid_argument");
    CHECK_THAT(error.what(), Contains("cannot count from below zero") && Contains("gandalf"));
    CHECK_THAT(error_out_of([&] { never.wait(); }).what(), Contains("below zero"));
    const auto file = gandalf.make<Folder>("home").call<&Folder::open>("");
    CHECK_THAT(error_of(file.call<&File::read>()).what(), Contains("a file without a name"));
    // The process is none the worse for it.
    CHECK(gandalf.make<Counter>(1).call<&Counter::current>().get() == 1);
  });
}

TEST_CASE("objects take no slots: tasks and calls run side by side") {
  SlaveProcess gandalf({.slots = 1});
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(gandalf));
  auto task = cluster.call<hold>(1, folder / "started", folder / "go");
  wait_for_marks(folder / "started");
  CHECK(cluster.slave("gandalf").make<Counter>(3).call<&Counter::current>().get() == 3);
  leave_mark(folder / "go", "");
  CHECK(task.get() == 1);
}

TEST_CASE("objects made with a placement have a process of their own") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto process_of = [](const knee::Ref<Counter>& counter) {
      return counter.call<&Counter::process>().get();
    };
    const auto own = knee::Placement::own();
    const auto common = gandalf.make<Counter>(1);
    auto first = gandalf.make<Counter>(own, 2);
    auto second = gandalf.make<Counter>(own, 3);
    const auto other = gandalf.make<Counter>(knee::Placement::own(), 4);
    const auto beside = common.make<File>("notes");
    const auto process = process_of(first);
    CHECK(process_of(second) == process);
    CHECK(process_of(common) != process);
    CHECK(process_of(other) != process);
    CHECK(process_of(other) != process_of(common));
    CHECK(beside.call<&File::read>().get() == "what notes says");
    CHECK(common.call<is_beside>(beside).get());
    CHECK_FALSE(first.call<is_beside>(beside).get());
    CHECK(gandalf.objects() == 5);
    first = second = {};
    CHECK(wait_until([&] { return !is_alive(process); }));
    CHECK(gandalf.objects() == 3);
    CHECK(process_of(gandalf.make<Counter>(own, 5)) != process);
  });
}

TEST_CASE("objects of different processes neither wait for each other nor die together") {
  const TemporaryFolder folder;
  with_a_slave([&](knee::Cluster&, const knee::Slave& gandalf) {
    const auto own = knee::Placement::own();
    const auto stuck = gandalf.make<Counter>(own, 1);
    const auto free = gandalf.make<Counter>(2);
    auto never = stuck.call<&Counter::hang>(folder / "started");
    wait_for_marks(folder / "started");
    CHECK(free.call<&Counter::current>().get() == 2);
    free.call<&Counter::rename>("alive").get();
    auto mortal = gandalf.make<Counter>(knee::Placement::own(), 3);
    CHECK(error_of(mortal.call<&Counter::die>()).kind() == Error::Kind::crashed);
    CHECK(free.call<&Counter::name>().get() == "alive");
    CHECK_FALSE(never.ready());
  });
}

TEST_CASE("what objects print comes out at the driver with their slave's name") {
  SlaveProcess gandalf;
  DriverProcess driver({.part = "print_by_object", .slaves = {gandalf.address()}});
  CHECK(driver.wait() == 0);
  CHECK_THAT(driver.out() + driver.err(), Contains("[gandalf") && Contains("said by an object"));
}

TEST_CASE("a call that fails and whose result nobody looks at is said on stderr") {
  SlaveProcess gandalf;
  DriverProcess driver({.part = "ignore_failures", .slaves = {gandalf.address()}});
  driver.wait_for_err("unhandled failure: ");
  driver.wait_for_err("it is jammed");
  driver.wait_for_err("a drawer: it has no method 'missing'");
  CHECK(driver.wait() == 0);
  CHECK(count_of(driver.err(), "unhandled failure: ") == 2);
}

TEST_CASE("a driver that calls an object on a slave that is not there says so") {
  SlaveProcess gandalf({.start = false});
  DriverProcess driver({.part = "call_absent", .slaves = {gandalf.address()}});
  driver.wait_for_err("no slave yet, 2 calls wait");
  CHECK_THAT(driver.err(), Contains("gandalf.sock") || Contains("slave.sock"));
}
