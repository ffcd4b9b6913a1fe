#include <knee/this_task.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <set>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/old_kernel.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

/// The first attempt never ends.
unsigned second_time_lucky(std::string started) {
  if (knee::this_task::attempt() == 1) hang(started);
  return knee::this_task::attempt();
}

/// The first attempt kills its worker.
unsigned die_at_first() {
  if (knee::this_task::attempt() == 1) ::raise(SIGKILL);
  return knee::this_task::attempt();
}

/// Never ends on gandalf.
std::string hang_on_gandalf(std::string file) {
  if (knee::this_task::slave() == "gandalf") hang(file);
  return knee::this_task::slave();
}

/// Marks its slave's name and waits until it stands `count` times for others.
std::string meet(std::string file, std::size_t count) {
  leave_mark(file, knee::this_task::slave());
  wait_for_marks(file, count);
  return knee::this_task::slave();
}

/// Takes so long, and longer if it is to wait for a mark.
std::string last(int milliseconds, std::string go) {
  rest(0, milliseconds);
  if (!go.empty()) wait_for_marks(go);
  return knee::this_task::slave();
}

void kill_and_wait(pid_t pid) {
  ::kill(pid, SIGKILL);
  REQUIRE(wait_until([pid] { return !is_alive(pid); }));
}

}  // namespace

TEST_CASE("a worker killed while idle is replaced, and nothing is charged") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1});
    const pid_t first = bag.call<own_pid>().get();
    kill_and_wait(first);
    const pid_t second = bag.call<own_pid>().get();
    CHECK(second != first);
    CHECK(bag.call<own_pid>().get() == second);
    bag.wait();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave waits for all that it has started: none that has ended stays as a zombie") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    for (int i = 0; i < 3; ++i) kill_and_wait(cluster.call<own_pid>().get());
    knee::Command command;
    command.arguments = {"echo", "ended"};
    CHECK(cluster.run(command).get().out == "ended\n");
    CHECK(cluster.call<twice>(21).get() == 42);
  }
  CHECK(leaks.found() == "");
  CHECK(leaks.found_unreaped() == "");
}

TEST_CASE("a slave does on a kernel without pidfds and close_range what it does on others") {
  SlaveProcess slave({.around = on_an_old_kernel()});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    Tally all(100);
    auto bag = cluster.bag();
    for (int i = 0; i < 100; ++i) bag.call<rest>(i, 0).then([&](int x) { all.add(x); });
    bag.wait();
    CHECK(all.complaints() == "");
    CHECK(cluster.call<die_at_first>().get() == 2);
    auto hanging = cluster.call<hang>(folder / "started");
    wait_for_marks(folder / "started");
    hanging.cancel();
    CHECK(error_of(std::move(hanging)).kind() == Error::Kind::cancelled);
    knee::Command command;
    command.arguments = {"sh", "-c", "sleep 1000 & echo left; exit 0"};
    CHECK(cluster.run(command).get().out == "left\n");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task whose worker is killed runs again, and those behind it are not charged") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    auto lucky = bag.call<second_time_lucky>(folder / "started");
    Tally others(20);
    for (int i = 0; i < 20; ++i)
      bag.call<rest>(knee::TaskOptions{.attempts = 1}, i, 0).then([&](int x) { others.add(x); });
    wait_for_marks(folder / "started");
    kill_and_wait(std::stoi(marks_in(folder / "started").at(0)));
    CHECK(lucky.get() == 2);
    bag.wait();
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("with one attempt a task whose worker is killed has failed and never runs again") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1, .name = "once"});
    auto killed = bag.call<hang>(folder / "started");
    wait_for_marks(folder / "started");
    kill_and_wait(std::stoi(marks_in(folder / "started").at(0)));
    const Error error = error_of(std::move(killed));
    CHECK(error.kind() == Error::Kind::crashed);
    CHECK(error.slave() == "gandalf");
    CHECK(error.attempt() == 1);
    CHECK_THAT(error.task(), Contains("once: ") && Contains("hang"));
    CHECK_THAT(error.what(), Contains("SIGKILL"));
    CHECK(bag.call<twice>(1).get() == 2);
    CHECK(marks_in(folder / "started").size() == 1);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a bag outlives the violent death of its only slave") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    Tally results(300);
    for (int i = 0; i < 300; ++i) bag.call<rest>(i, 2).then([&](int x) { results.add(x); });
    REQUIRE(wait_until([&] { return bag.counts().done > 20; }));
    slave.kill();
    CHECK(wait_until([] { return descendants_with(::getpid(), kWorkerWord).empty(); }, 5s));
    CHECK(bag.counts().done < 300);
    slave.start();
    bag.wait();
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave clears up what a killed one has left in its scratch folder") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  REQUIRE(cluster.call<twice>(1).get() == 2);
  slave.kill();
  slave.start();
  const auto folders = [&] {
    return std::distance(std::filesystem::directory_iterator(slave.scratch()), {});
  };
  CHECK(wait_until([&] { return folders() == 1; }));
}

TEST_CASE("a lost slave costs a task with one attempt its life, in words") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag({.attempts = 1, .name = "once"});
  auto lost = bag.call<hang>(folder / "started");
  wait_for_marks(folder / "started");
  slave.kill();
  const Error error = error_of(std::move(lost));
  CHECK(error.kind() == Error::Kind::slave_lost);
  CHECK(error.slave() == "gandalf");
  CHECK(error.attempt() == 1);
  CHECK_THAT(error.what(), Contains("gandalf"));
  slave.start();
  CHECK(bag.call<twice>(1).get() == 2);
  CHECK(marks_in(folder / "started").size() == 1);
}

TEST_CASE("the tasks of a lost slave go to another one") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  const LeakCheck leaks({&frodo});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    REQUIRE(wait_until([&] { return cluster.slots() == 4; }));
    auto bag = cluster.bag();
    int on_frodo = 0;
    const auto count = [&](const std::string& slave) { on_frodo += slave == "frodo" ? 1 : 0; };
    for (int i = 0; i < 20; ++i) bag.call<hang_on_gandalf>(folder / "hang").then(count);
    Others others(cluster);
    wait_for_marks(folder / "hang");
    gandalf.kill();
    bag.wait();
    CHECK(on_frodo == 20);
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave may be started after its driver") {
  SlaveProcess slave({.start = false});
  const LeakCheck leaks;
  {
    knee::Cluster cluster(reaching(slave));
    Others others(cluster);
    auto promise = cluster.call<twice>(21);
    CHECK(cluster.slots() == 0);
    slave.start();
    CHECK(promise.get() == 42);
    CHECK(others.complaints() == "");
    CHECK(cluster.slaves() == std::vector<std::string>{"gandalf"});
  }
  CHECK(wait_until([&] { return slave.family().empty(); }));
  slave.kill();
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that comes in the middle of a bag gets its part") {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1, .start = false});
  const LeakCheck leaks({&gandalf});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    auto bag = cluster.bag();
    // Neither ends before both run, and gandalf has one slot.
    auto first = bag.call<meet>(folder / "met", 2u);
    auto second = bag.call<meet>(folder / "met", 2u);
    Others others(cluster);
    wait_for_marks(folder / "met");
    frodo.start();
    CHECK(std::set<std::string>{first.get(), second.get()} ==
          std::set<std::string>{"frodo", "gandalf"});
    CHECK(others.complaints() == "");
  }
  CHECK(wait_until([&] { return frodo.family().empty(); }));
  frodo.kill();
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave on which everything crashes does not swallow the bag") {
  SlaveProcess good({.name = "good"});
  SlaveProcess hole({.name = "hole", .environment = {{"KNEE_TEST_BLACK_HOLE", "1"}}});
  const LeakCheck leaks({&good, &hole});
  DriverProcess driver(
      {.part = "black_hole", .arguments = {"300"}, .slaves = {good.address(), hole.address()}});
  const int code = driver.wait();
  INFO(driver.err());
  CHECK(code == 0);
  CHECK_THAT(driver.out(), Contains("300 results"));
  CHECK_THAT(driver.err(), Contains("slave hole is given no tasks"));
  CHECK_THAT(driver.err(), !Contains("slave good is given no tasks"));
  CHECK(leaks.found() == "");
}

TEST_CASE(
    "with a short heartbeat a silent slave is suspect and lost soon, and its tasks go elsewhere") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  const LeakCheck leaks({&gandalf, &frodo});
  const TemporaryFolder folder;
  DriverProcess driver({.part = "rest_and_mark",
                        .arguments = {folder / "done", "x", "400"},
                        .slaves = {gandalf.address(), frodo.address()},
                        .environment = {{"KNEE_HEARTBEAT", "200ms"}}});
  wait_for_marks(folder / "done", 20);
  gandalf.process().stop();
  // With beats of 2 s it would be suspect after 6 s and lost after 20.
  const auto took = time_of([&] {
    driver.wait_for_err("gandalf: has not answered for 0.6 s");
    CHECK(driver.wait() == 0);
  });
  CHECK(took < 15s);
  CHECK_THAT(driver.out(), Contains("400 results"));
  gandalf.process().resume();
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave told to end finishes what runs and gives back the rest") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo", .start = false});
  const TemporaryFolder folder;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    auto bag = cluster.bag({.attempts = 1});
    std::vector<knee::Promise<int>> running;
    for (int i = 0; i < 2; ++i)
      running.push_back(bag.call<hold>(i, folder / "started", folder / "go"));
    wait_for_marks(folder / "started", 2);
    Tally waiting(10);
    for (int i = 0; i < 10; ++i) bag.call<rest>(i, 0).then([&](int x) { waiting.add(x); });
    gandalf.process().signal(SIGTERM);
    gandalf.process().wait_for_err("draining");
    frodo.start();
    CHECK(wait_until([&] { return bag.counts().done == 10; }));
    CHECK(gandalf.process().is_alive());
    leave_mark(folder / "go", "");
    for (int i = 0; i < 2; ++i) CHECK(running[static_cast<std::size_t>(i)].get() == i);
    CHECK(gandalf.process().wait() == 0);
    bag.wait();
    CHECK(waiting.complaints() == "");
  }
  CHECK(wait_until([&] { return frodo.family().empty(); }));
  frodo.kill();
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave told to end for the second time ends at once") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1});
    auto task = bag.call<hang>(folder / "started");
    wait_for_marks(folder / "started");
    slave.process().signal(SIGTERM);
    slave.process().wait_for_err("draining");
    slave.process().signal(SIGTERM);
    CHECK(slave.process().wait() == 0);
    CHECK(error_of(std::move(task)).kind() == Error::Kind::slave_lost);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave with a lifetime gets no task known to outlast it, and ends by itself") {
  const TemporaryFolder folder;
  SlaveProcess frodo({.name = "frodo", .slots = 1});
  const LeakCheck leaks({&frodo});
  {
    auto options = reaching(frodo);
    options.listen = {"unix:" + (folder / "door")};
    knee::Cluster cluster(options);
    // From this the driver knows how long such tasks take.
    REQUIRE(cluster.call<last>(4500, std::string()).get() == "frodo");
    SlaveProcess gandalf(
        {.name = "gandalf", .slots = 1, .dial = options.listen, .flags = {"--lifetime", "4"}});
    const bool both = wait_until([&] { return cluster.slots() == 2; }, 3s);
    auto first = cluster.call<last>(0, folder / "go");
    auto second = cluster.call<last>(0, folder / "go");
    // It would wait for a task that runs there.
    CHECK(gandalf.process().wait() == 0);
    CHECK_THAT(gandalf.err(), Contains("the lifetime of 4 s is over"));
    leave_mark(folder / "go", "");
    CHECK(first.get() == "frodo");
    CHECK(second.get() == "frodo");
    if (!both) WARN("the machine is too busy: the slave's life was over before it could be used");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave whose lifetime is over finishes what runs there") {
  SlaveProcess slave({.flags = {"--lifetime", std::to_string(2 * kTimeSlack)}});
  const TemporaryFolder folder;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto task = cluster.call<hold>(7, folder / "started", folder / "go");
    wait_for_marks(folder / "started");
    slave.process().wait_for_err("draining");
    CHECK(slave.process().is_alive());
    leave_mark(folder / "go", "");
    CHECK(task.get() == 7);
    CHECK(slave.process().wait() == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that nobody uses ends when it was told so, and not before") {
  // The driver has to be there in this time, too.
  const int idle = 1 * kTimeSlack;
  SlaveProcess slave({.flags = {"--idle-exit", std::to_string(idle)}});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    CHECK(cluster.call<rest>(1, 1500 * idle).get() == 1);
    CHECK(slave.process().is_alive());
  }
  CHECK(slave.process().wait(10s * idle) == 0);
  CHECK_THAT(slave.err(), Contains("no driver for " + std::to_string(idle) + " s"));
  CHECK(leaks.found() == "");
}

TEST_CASE("a local slave that was killed is replaced") {
  knee::ClusterOptions options;
  options.slots = 1;
  options.progress = false;
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(options);
    auto task = cluster.call<second_time_lucky>(folder / "started");
    wait_for_marks(folder / "started");
    const auto slaves = descendants_with(::getpid(), "--inherited");
    REQUIRE_FALSE(slaves.empty());
    ::kill(slaves.front(), SIGKILL);
    CHECK(task.get() == 2);
  }
  CHECK(wait_until([] { return descendants_with(::getpid(), "--inherited").empty(); }));
}
