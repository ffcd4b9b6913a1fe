#include <knee/this_task.h>
#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using knee::Error;

namespace {

std::string where() {
  return knee::this_task::slave();
}

std::string rest_and_say_where(int milliseconds) {
  rest(0, milliseconds);
  return where();
}

std::string working_folder() {
  return std::filesystem::current_path();
}

/// Ends at the second attempt, with the slave's name.
std::string hang_first(std::string started) {
  leave_mark(started, where());
  if (knee::this_task::attempt() == 1)
    for (;;) ::pause();
  return where();
}

std::string crash_twice(std::string started) {
  leave_mark(started, where());
  if (knee::this_task::attempt() < 3) ::raise(SIGKILL);
  return where();
}

}  // namespace

TEST_CASE("tasks called through a slave run there and nowhere else") {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 4});
  const LeakCheck leaks({&gandalf, &frodo});
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    REQUIRE(wait_until([&] { return cluster.slots() == 5; }));
    const auto run_on = [&](const knee::Slave& slave) {
      std::vector<knee::Promise<std::string>> promises;
      // Long enough that idle slots of the other would be worth filling.
      for (int i = 0; i < 30; ++i) promises.push_back(slave.call<rest_and_say_where>(2));
      std::map<std::string, int> places;
      for (auto& promise : promises) ++places[promise.get()];
      return places;
    };
    CHECK(run_on(cluster.slave("gandalf")) == std::map<std::string, int>{{"gandalf", 30}});
    CHECK(run_on(cluster.slave(gandalf.address())) == std::map<std::string, int>{{"gandalf", 30}});
    CHECK(run_on(cluster.slave(frodo.address())) == std::map<std::string, int>{{"frodo", 30}});
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("lambdas and tasks with options may be called through a slave") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto slave = cluster.slave("frodo");
  CHECK(slave.call([](int x) { return knee::this_task::slave() + std::to_string(x); }, 7).get() ==
        "frodo7");
  CHECK(slave.call<where>(knee::TaskOptions{.cores = 2}).get() == "frodo");
}

TEST_CASE("a lambda may be called with options: through a bag, a cluster and a slave") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  const auto lambda = [](int x) {
    if (x < 0) throw std::runtime_error("no root of " + std::to_string(x));
    return 2 * x;
  };
  const knee::TaskOptions options{.name = "the root"};
  CHECK(bag.call(options, lambda, 1).get() == 2);
  CHECK(cluster.call(options, lambda, 2).get() == 4);
  CHECK(cluster.slave("gandalf").call(options, lambda, 3).get() == 6);
  for (const Error& error :
       {error_of(bag.call(options, lambda, -1)), error_of(cluster.call(options, lambda, -1)),
        error_of(cluster.slave("gandalf").call(options, lambda, -1))}) {
    CHECK(error.task() == "the root");
    CHECK(error.exception_text() == "no root of -1");
  }
}

TEST_CASE("tasks for others pass by one that waits for its slave") {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1});
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  auto busy = cluster.slave("gandalf").call<hold>(1, folder / "started", folder / "go");
  wait_for_marks(folder / "started");
  auto pinned = cluster.slave("gandalf").call<where>();
  for (int i = 0; i < 20; ++i) CHECK(cluster.call<where>().get() == "frodo");
  CHECK_FALSE(pinned.ready());
  leave_mark(folder / "go", "");
  CHECK(pinned.get() == "gandalf");
  CHECK(busy.get() == 1);
}

TEST_CASE("a task may be called for a slave that has not come yet, by name and by address") {
  SlaveProcess gandalf({.name = "gandalf", .start = false});
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  auto by_name = cluster.slave("gandalf").call<where>();
  auto by_address = cluster.slave(gandalf.address()).call<where>();
  REQUIRE(cluster.call<where>().get() == "frodo");
  const auto early = cluster.slave("gandalf");
  gandalf.start();
  CHECK(by_name.get() == "gandalf");
  CHECK(by_address.get() == "gandalf");
  // What was said before it came is still true.
  CHECK(early.call<where>().get() == "gandalf");
  CHECK(early.describe().connected);
}

TEST_CASE("a task may be called for a slave that will dial") {
  SlaveProcess frodo({.name = "frodo"});
  const TemporaryFolder folder;
  auto options = reaching(frodo);
  options.listen = {"unix:" + (folder / "driver.sock")};
  knee::Cluster cluster(options);
  auto pinned = cluster.slave("gandalf").call<where>();
  REQUIRE(cluster.call<where>().get() == "frodo");
  CHECK_FALSE(pinned.ready());
  const SlaveProcess gandalf({.name = "gandalf", .flags = {"--dial", options.listen.at(0)}});
  CHECK(pinned.get() == "gandalf");
}

TEST_CASE("a task for a slave that never comes can be cancelled, and ends with the cluster") {
  SlaveProcess frodo({.name = "frodo"});
  const LeakCheck leaks({&frodo});
  const TemporaryFolder folder;
  knee::Promise<std::string> left;
  {
    auto options = reaching(frodo);
    options.listen = {"unix:" + (folder / "driver.sock")};
    knee::Cluster cluster(options);
    auto pinned = cluster.slave("nobody").call<where>();
    left = cluster.slave("nobody").call<where>();
    REQUIRE(cluster.call<where>().get() == "frodo");
    pinned.cancel();
    CHECK(error_of(std::move(pinned)).kind() == Error::Kind::cancelled);
    CHECK_FALSE(left.ready());
  }
  CHECK(error_of(std::move(left)).kind() == Error::Kind::cancelled);
  CHECK(leaks.found() == "");
}

TEST_CASE("a task for a name that none of the slaves has fails as soon as all are here") {
  SlaveProcess gandalf({.name = "gandalf", .start = false});
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  auto lost = cluster.slave("nobody").call<where>();
  auto found = cluster.slave("gandalf").call<where>();
  REQUIRE(cluster.call<where>().get() == "frodo");
  CHECK_FALSE(lost.ready());  // the one that is not here yet may have that name
  gandalf.start();
  for (const Error& error :
       {error_of(std::move(lost)), error_of(cluster.slave("nobody").call<where>())}) {
    CHECK(error.kind() == Error::Kind::setup);
    CHECK_THAT(error.what(), Catch::Contains("no slave has the name 'nobody'") &&
                                 Catch::Contains("gandalf") && Catch::Contains("frodo"));
  }
  CHECK(found.get() == "gandalf");
}

TEST_CASE("pinned tasks survive a restart of their slave, and go nowhere else meanwhile") {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo"});
  const LeakCheck leaks({&gandalf, &frodo});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    REQUIRE(wait_until([&] { return cluster.slots() == 3; }));
    const auto slave = cluster.slave("gandalf");
    auto running = slave.call<hang_first>(folder / "started");
    std::vector<knee::Promise<std::string>> waiting;
    for (int i = 0; i < 10; ++i) waiting.push_back(slave.call<where>());
    wait_for_marks(folder / "started");
    gandalf.kill();
    REQUIRE(wait_until([&] { return cluster.slots() == 2; }));
    auto late = slave.call<where>();
    REQUIRE(cluster.call<where>().get() == "frodo");
    CHECK_FALSE(running.ready());
    gandalf.start();
    CHECK(running.get() == "gandalf");
    for (auto& promise : waiting) CHECK(promise.get() == "gandalf");
    CHECK(late.get() == "gandalf");
    CHECK(marks_in(folder / "started") == std::vector<std::string>{"gandalf", "gandalf"});
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a pinned task that crashes is tried again on the same slave") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  const TemporaryFolder folder;
  const LeakCheck leaks({&gandalf, &frodo});
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    REQUIRE(wait_until([&] { return cluster.slots() == 4; }));
    CHECK(cluster.slave("gandalf").call<crash_twice>(folder / "started").get() == "gandalf");
    CHECK(marks_in(folder / "started") == std::vector<std::string>(3, "gandalf"));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("two slaves that call themselves the same are told apart by their addresses") {
  SlaveProcess one({.name = "gandalf"});
  SlaveProcess other({.name = "gandalf"});
  knee::Cluster cluster(reaching({&one, &other}));
  REQUIRE(wait_until([&] { return cluster.slots() == 4; }));
  for (const auto* slave : {&one, &other}) {
    const auto folder = cluster.slave(slave->address()).call<working_folder>().get();
    CHECK(folder.starts_with(slave->scratch()));
  }
}
