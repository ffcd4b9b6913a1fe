// Threads that wait for results: the one that waits for the only task there is runs the RPC loop
// itself.
#include <catch2/catch.hpp>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using knee::Error;

TEST_CASE("threads that call and wait one after the other each get their own results") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i)
          if (cluster.call<twice>(1000 * t + i).get() != 2 * (1000 * t + i)) ++wrong;
      });
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a bag goes on while and after another thread waits for a single task") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto held = cluster.call<hold>(7, folder / "started", folder / "go");
    std::thread waiting([&] { CHECK(held.get() == 7); });
    wait_for_marks(folder / "started");
    Tally results(200);
    auto bag = cluster.bag();
    for (int i = 0; i < 100; ++i) bag.call<rest>(i, 0).then([&](int x) { results.add(x); });
    REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }, 10s));
    leave_mark(folder / "go", "");
    for (int i = 100; i < 200; ++i) bag.call<rest>(i, 0).then([&](int x) { results.add(x); });
    waiting.join();
    bag.wait();
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("what is not waited for comes as well, between calls that are") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  for (int i = 0; i < 20; ++i) {
    CHECK(cluster.call<twice>(i).get() == 2 * i);
    std::atomic<int> came = 0;
    cluster.call<twice>(100 + i).then([&](int x) { came = x; });
    REQUIRE(wait_until([&] { return came == 200 + 2 * i; }));
  }
}

TEST_CASE("a thread that waits for the only task learns of its cancelling by another") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(impatient(slave));
    auto bag = cluster.bag();
    auto task = bag.call<hang>(folder / "hung");
    std::thread cancelling([&] {
      wait_for_marks(folder / "hung");
      bag.cancel();
    });
    CHECK(error_of(std::move(task)).kind() == Error::Kind::cancelled);
    cancelling.join();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a cluster that ends lets the thread go that waits for its only task") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto cluster = std::make_unique<knee::Cluster>(impatient(slave));
    auto task = cluster->call<hang>(folder / "hung");
    std::thread waiting([&] { CHECK(error_of(std::move(task)).kind() == Error::Kind::cancelled); });
    wait_for_marks(folder / "hung");
    cluster.reset();
    waiting.join();
  }
  CHECK(leaks.found() == "");
}
