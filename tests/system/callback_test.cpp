#include <catch2/catch.hpp>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>

#include "tests/system/harness/leak_check.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

TEST_CASE("callbacks run one at a time, each exactly once, off the caller's thread") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    Tally results(5000);
    std::atomic<int> inside = 0;
    std::atomic<int> overlaps = 0;
    std::atomic<int> on_callers_thread = 0;
    const auto caller = std::this_thread::get_id();
    for (int i = 0; i < 5000; ++i)
      bag.call<twice>(i).then([&](int x) {
        overlaps += inside.fetch_add(1);
        on_callers_thread += std::this_thread::get_id() == caller ? 1 : 0;
        results.add(x / 2);
        inside -= 1;
      });
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(overlaps == 0);
    CHECK(on_callers_thread == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("an exception out of a callback is thrown by wait, after all callbacks") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  int others = 0;
  for (int i = 0; i < 10; ++i)
    bag.call<twice>(i).then([&](int x) {
      if (x == 0) throw std::invalid_argument("not zero");
      ++others;
    });
  CHECK_THROWS_AS(bag.wait(), std::invalid_argument);
  CHECK(others == 9);
  bag.wait();  // it is forgotten now
}

TEST_CASE("a callback cannot wait for its own bag") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  std::optional<Error> error;
  bag.call<twice>(1).then([&](int) { error = error_out_of([&] { bag.wait(); }); });
  bag.wait();
  REQUIRE(error);
  CHECK(error->kind() == Error::Kind::usage);
  CHECK_THAT(error->what(), Contains("callback"));
}

TEST_CASE("a callback may get the result of another task, and add tasks to its bag") {
  SlaveProcess slave({.slots = 1});
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  int sum = 0;
  int late = 0;
  for (int i = 0; i < 20; ++i)
    bag.call<twice>(i).then([&](int x) {
      sum += cluster.call<twice>(x).get();
      bag.call<twice>(1).then([&](int) { ++late; });
    });
  bag.wait();
  CHECK(sum == 4 * 190);
  CHECK(late == 20);
}

TEST_CASE("a promise has one consumer") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto promise = cluster.call<twice>(1);
  CHECK(promise.get() == 2);
  CHECK_FALSE(promise.valid());
  CHECK(error_out_of([&] { promise.get(); }).kind() == Error::Kind::usage);
}
