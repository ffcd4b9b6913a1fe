#include <knee/knee.h>
#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "common/process/stat.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/live_objects.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

constexpr std::size_t kMB = 1'000'000;

std::string block(std::size_t size) {
  return std::string(size, 'x');
}

/// A mark, then a large result when there is something in `go`.
std::string block_when(std::size_t size, std::string started, std::string go) {
  leave_mark(started, knee::this_task::slave());
  wait_for_marks(go);
  return block(size);
}

struct Archive {
  std::string fetch(std::size_t size, std::string started, std::string go) {
    return block_when(size, std::move(started), std::move(go));
  }
};

/// Where it ran, if the argument is whole.
std::string place_of(std::string argument, std::size_t size) {
  return argument == block(size) ? knee::this_task::slave() : "with a wrong argument";
}

void tell_to_end(const SlaveProcess& slave) {
  slave.process().signal(SIGTERM);
  slave.process().wait_for_err("draining");
}

/// A process that is busy all this time takes more than half of it, one that is not far less, also
/// on a machine with much else to do.
constexpr std::chrono::nanoseconds kWatched = 1s;

std::chrono::nanoseconds cpu_time_of(pid_t pid) {
  const auto stat = knee::process::read_stat(pid);
  REQUIRE(stat);
  return stat->cpu_time;
}

}  // namespace

TEST_CASE("large results of tasks that run on a slave told to end still arrive") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1});
    auto one = bag.call<block_when>(20 * kMB, folder / "started", folder / "go");
    auto two = bag.call<block_when>(20 * kMB, folder / "started", folder / "go");
    wait_for_marks(folder / "started", 2);
    tell_to_end(slave);
    leave_mark(folder / "go", "");
    CHECK(one.get().size() == 20 * kMB);
    CHECK(two.get().size() == 20 * kMB);
    CHECK(slave.process().wait() == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a large result that is being fetched when its slave is told to end arrives whole") {
  constexpr std::size_t kSize = 96 * kMB;
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1});
    REQUIRE(bag.call<twice>(1).get() == 2);
    const auto before = resident_memory_of(::getpid());
    auto promise = bag.call<block>(kSize);
    REQUIRE(wait_until([&] { return resident_memory_of(::getpid()) > before + 8 * kMB; }));
    slave.process().signal(SIGTERM);
    const bool whole = promise.get() == block(kSize);
    CHECK(whole);
    CHECK(slave.process().wait() == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave told to end in the middle of large results leaves the rest to another one") {
  constexpr int kTasks = 12;
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo", .start = false});
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    auto bag = cluster.bag({.attempts = 1});
    Tally results(kTasks);
    int whole = 0;
    for (int i = 0; i < kTasks; ++i)
      bag.call<block>(20 * kMB).then([&, i](const std::string& text) {
        results.add(i);
        whole += text.size() == 20 * kMB ? 1 : 0;
      });
    REQUIRE(wait_until([&] { return bag.counts().done != 0; }));
    gandalf.process().signal(SIGTERM);
    CHECK(gandalf.process().wait() == 0);
    frodo.start();
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(whole == kTasks);
    frodo.kill();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a command's large output arrives from a slave that was told to end") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.commands_only = true;
    knee::Cluster cluster(options);
    knee::Command command;
    command.arguments = {"sh", "-c",
                         "echo x >> " + (folder / "started") + "; until [ -e " + (folder / "go") +
                             " ]; do sleep 0.01; done; head -c 20000000 /dev/zero > out; head -c "
                             "2000000 /dev/zero"};
    command.outputs = {"out"};
    auto promise = cluster.run(command, {.attempts = 1});
    wait_for_marks(folder / "started");
    tell_to_end(slave);
    leave_mark(folder / "go", "");
    const auto result = promise.get();
    CHECK(result.out.size() == 2 * kMB);
    REQUIRE(result.files.size() == 1);
    CHECK(result.files[0].content.size() == 20 * kMB);
    CHECK(slave.process().wait() == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave told to end carries out the calls on objects that it has, and then ends") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    const auto counter = cluster.slave("gandalf").make<Counter>(5);
    auto running = counter.call<&Counter::hold>(folder / "started", folder / "go");
    auto behind = counter.call<kAddNumber>(2);
    auto read = counter.make<Folder>("home").call<&Folder::open>("notes").call<&File::read>();
    wait_for_marks(folder / "started");
    cluster.slave("gandalf").describe();  // by then the second call is there
    tell_to_end(slave);
    leave_mark(folder / "go", "");
    CHECK(running.get() == 5);
    CHECK(behind.get() == 7);
    CHECK(read.get() == "what home/notes says");
    CHECK(slave.process().wait() == 0);
    CHECK(error_of(counter.call<&Counter::current>()).kind() == knee::Error::Kind::slave_lost);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("the large result of a call on an object arrives from a slave that was told to end") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    const auto archive = cluster.slave("gandalf").make<Archive>();
    auto fetched = archive.call<&Archive::fetch>(20 * kMB, folder / "started", folder / "go");
    wait_for_marks(folder / "started");
    tell_to_end(slave);
    leave_mark(folder / "go", "");
    CHECK(fetched.get().size() == 20 * kMB);
    CHECK(slave.process().wait() == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("waiting tasks with large arguments go from a slave told to end to another one") {
  constexpr int kTasks = 10;
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1, .start = false});
  const LeakCheck leaks({&gandalf});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    auto bag = cluster.bag({.attempts = 1});
    auto running = bag.call<hold>(1, folder / "started", folder / "go");
    wait_for_marks(folder / "started");
    Tally results(kTasks);
    int on_frodo = 0;
    for (int i = 0; i < kTasks; ++i)
      bag.call<place_of>(block(kMB), kMB).then([&, i](const std::string& place) {
        results.add(i);
        on_frodo += place == "frodo" ? 1 : 0;
      });
    REQUIRE(wait_until([&] { return gandalf.value_bytes() != 0; }));
    tell_to_end(gandalf);
    frodo.start();
    CHECK(wait_until([&] { return bag.counts().done == kTasks; }));
    CHECK(gandalf.process().is_alive());
    CHECK(wait_until([&] { return gandalf.value_bytes() == 0; }));
    leave_mark(folder / "go", "");
    CHECK(running.get() == 1);
    CHECK(gandalf.process().wait() == 0);
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(on_frodo == kTasks);
    frodo.kill();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task whose argument is on its way to a slave told to end runs on another one") {
  constexpr std::size_t kSize = 100 * kMB;
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1, .start = false});
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    auto bag = cluster.bag({.attempts = 1});
    auto promise = bag.call<place_of>(block(kSize), kSize);
    REQUIRE(wait_until([&] { return gandalf.value_bytes() > 4 * kMB; }));
    gandalf.process().signal(SIGTERM);
    frodo.start();
    CHECK(promise.get() == "frodo");
    CHECK(gandalf.process().wait() == 0);
    frodo.kill();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("nobody is busy while a slave told to end still has a long task") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  // Two run, and three wait for another slave, which does not come.
  DriverProcess driver(
      {.part = "hang", .arguments = {folder / "started", "5"}, .slaves = {slave.address()}});
  wait_for_marks(folder / "started", 2);
  tell_to_end(slave);
  const auto driver_before = cpu_time_of(driver.pid());
  const auto slave_before = cpu_time_of(slave.pid());
  CHECK_FALSE(
      wait_until([&] { return !driver.is_alive() || !slave.process().is_alive(); }, kWatched));
  CHECK(cpu_time_of(driver.pid()) - driver_before < kWatched / 2);
  CHECK(cpu_time_of(slave.pid()) - slave_before < kWatched / 2);
  CHECK(descendants_with(slave.pid(), "hang").size() == 2);
  slave.process().signal(SIGTERM);
  CHECK(slave.process().wait() == 0);
  driver.kill();
  CHECK(leaks.found() == "");
}

TEST_CASE("nobody is busy while a slave told to end has the last task and another is idle") {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1});
  const TemporaryFolder folder;
  const LeakCheck leaks({&gandalf, &frodo});
  DriverProcess driver({.part = "hang",
                        .arguments = {folder / "started", "1"},
                        .slaves = {gandalf.address(), frodo.address()}});
  wait_for_marks(folder / "started");
  const bool on_frodo = !descendants_with(frodo.pid(), "hang").empty();
  auto& idle = on_frodo ? gandalf : frodo;
  tell_to_end(on_frodo ? frodo : gandalf);
  const auto driver_before = cpu_time_of(driver.pid());
  const auto idle_before = cpu_time_of(idle.pid());
  CHECK_FALSE(wait_until([&] { return !driver.is_alive(); }, kWatched));
  CHECK(cpu_time_of(driver.pid()) - driver_before < kWatched / 2);
  CHECK(cpu_time_of(idle.pid()) - idle_before < kWatched / 2);
  driver.kill();
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave told to end does so at once when its driver wants nothing") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    REQUIRE(cluster.call<twice>(1).get() == 2);
    slave.process().signal(SIGTERM);
    CHECK(slave.process().wait(5s) == 0);
    CHECK(wait_until([&] { return cluster.slaves().empty(); }));
    slave.start();
    CHECK(cluster.call<twice>(2).get() == 4);
    slave.kill();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that dials and is told to end does so at once, and may come back") {
  const TemporaryFolder folder;
  const std::string address = "unix:" + (folder / "driver.sock");
  SlaveProcess slave({.dial = {address}});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(listening_on(address));
    REQUIRE(cluster.call<twice>(1).get() == 2);
    slave.process().signal(SIGTERM);
    CHECK(slave.process().wait(5s) == 0);
    CHECK(wait_until([&] { return cluster.slaves().empty(); }));
    slave.start();
    CHECK(cluster.call<twice>(2).get() == 4);
    slave.kill();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that dials and is told to end finishes what runs") {
  const TemporaryFolder folder;
  const std::string address = "unix:" + (folder / "driver.sock");
  SlaveProcess slave({.slots = 1, .dial = {address}});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(listening_on(address));
    auto bag = cluster.bag({.attempts = 1});
    auto running = bag.call<block_when>(20 * kMB, folder / "started", folder / "go");
    wait_for_marks(folder / "started");
    tell_to_end(slave);
    leave_mark(folder / "go", "");
    CHECK(running.get().size() == 20 * kMB);
    CHECK(slave.process().wait() == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave told to end does not wait for a driver that is stopped and wants nothing") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  DriverProcess driver({.part = "share",
                        .arguments = {folder / "ready", folder / "go", folder / "done", "x", "1"},
                        .slaves = {slave.address()}});
  wait_for_marks(folder / "ready");
  driver.stop();
  slave.process().signal(SIGTERM);
  CHECK(slave.process().wait(5s) == 0);
  driver.resume();
  slave.start();
  const LeakCheck leaks({&slave});
  leave_mark(folder / "go", "");
  CHECK(driver.wait() == 0);
  CHECK_THAT(driver.out(), Contains("1 results"));
  CHECK(leaks.found() == "");
}
