#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;
namespace fs = std::filesystem;

namespace {

/// A driver that is stopped for so long in the middle of its bag, whichever way it has dialed.
void stop_for(std::chrono::seconds pause, bool tcp) {
  INFO((tcp ? "over TCP" : "over a Unix socket"));
  SlaveProcess slave({.tcp = tcp});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  DriverProcess driver({.part = "rest_and_mark",
                        .arguments = {folder / "done", "x", "300"},
                        .slaves = {slave.address()}});
  wait_for_marks(folder / "done", 20);
  driver.stop();
  const auto until = std::chrono::steady_clock::now() + pause;
  CHECK_FALSE(wait_until([&] { return driver.wait(0s) != DriverProcess::kLivesOn; },
                         until - std::chrono::steady_clock::now()));
  driver.resume();
  CHECK(driver.wait() == 0);
  CHECK_THAT(driver.out(), Contains("300 results"));
  // Nothing was lost, so nothing ran twice.
  CHECK(marks_in(folder / "done").size() == 300);
  CHECK(leaks.found() == "");
}

}  // namespace

TEST_CASE("a driver that is killed leaves nothing, and the next one has all slots") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  DriverProcess driver(
      {.part = "hang", .arguments = {folder / "started", "5"}, .slaves = {slave.address()}});
  wait_for_marks(folder / "started", 2);
  const std::string said = slave.err();
  driver.kill();
  CHECK(wait_until([&] { return slave.family().empty(); }, 1s * kTimeSlack));
  CHECK(leaks.found() == "");
  CHECK(slave.err() == said);
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  // Both slots at once.
  auto first = bag.call<hold>(1, folder / "new", folder / "go");
  auto second = bag.call<hold>(2, folder / "new", folder / "go");
  wait_for_marks(folder / "new", 2);
  leave_mark(folder / "go", "");
  CHECK(first.get() + second.get() == 3);
}

TEST_CASE("a driver that is killed while its objects wait for calls leaves none of them") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  DriverProcess driver(
      {.part = "idle_objects", .arguments = {folder / "ready"}, .slaves = {slave.address()}});
  wait_for_marks(folder / "ready");
  CHECK(slave.family().size() >= 2);
  driver.kill();
  CHECK(wait_until([&] { return slave.family().empty(); }, 1s * kTimeSlack));
  CHECK(leaks.found() == "");
}

TEST_CASE("a driver may be stopped for a second") {
  stop_for(1s, GENERATE(false, true));
}
TEST_CASE("a driver may be stopped for ten seconds", "[.slow]") {
  stop_for(10s, GENERATE(false, true));
}

TEST_CASE("a cluster ends while a callback runs that an object or a task waits for") {
  for (const char* by : {"object", "task"}) {
    INFO("of " << by);
    SlaveProcess slave;
    const LeakCheck leaks({&slave});
    const TemporaryFolder folder;
    // What is used after its end looks like nothing that works then.
    DriverProcess driver({.part = "end_in_callback",
                          .arguments = {by, folder / "started", folder / "go"},
                          .slaves = {slave.address()},
                          .environment = {{"MALLOC_PERTURB_", "165"}}});
    wait_for_marks(folder / "started");
    // It has left the slave, and what it offered there is let go of, while the callback runs.
    REQUIRE(wait_until([&] { return slave.family().empty(); }));
    leave_mark(folder / "go", "");
    CHECK(driver.wait() == 0);
    CHECK(driver.err() == "");
    CHECK(leaks.found() == "");
  }
}

TEST_CASE("what a callback submits while its cluster ends has an end too") {
  const SlaveProcess away({.start = false});
  for (int round = 0; round < 50; ++round) {
    int cancelled = 0;  // each by its own callback, until the cluster has ended
    {
      knee::Cluster cluster(reaching(away));
      const auto count = [&cancelled](const Error& error) {
        if (error.kind() == Error::Kind::cancelled) ++cancelled;
      };
      cluster.call<twice>(1).then([](int) {},
                                  [&](const Error& error) {
                                    count(error);
                                    cluster.call<twice>(2).then([](int) {}, count);
                                    count(error_of(cluster.call<twice>(3)));
                                  });
    }
    REQUIRE(cancelled == 3);
  }
}

TEST_CASE("a cluster ends though a callback submits its task again whenever that fails") {
  const SlaveProcess away({.start = false});
  DriverProcess driver({.part = "submit_for_ever", .slaves = {away.address()}});
  CHECK(driver.wait() == 0);
  CHECK_THAT(driver.err(), Contains("unhandled") && Contains("twice") && Contains("cancelled"));
}

TEST_CASE("a cluster ends while a callback asks for a slave's objects, or for what it is") {
  const bool objects = GENERATE(true, false);
  INFO((objects ? "objects" : "description"));
  SlaveProcess slave;
  const TemporaryFolder folder;
  DriverProcess driver({.part = "end_while_asking",
                        .arguments = {objects ? "objects" : "description", folder / "started",
                                      folder / "go", folder / "asking"},
                        .slaves = {slave.address()}});
  wait_for_marks(folder / "started", 2);  // the method and the callback
  if (!objects) slave.process().stop();   // it would answer at once
  leave_mark(folder / "go", "");
  CHECK(driver.wait() == 0);
  CHECK(driver.out() == (objects ? "0 objects\n" : "0 descriptions\n"));
}

TEST_CASE("a driver without slaves says so, with the last error of each address") {
  DriverProcess driver(
      {.part = "call_one", .slaves = {"unix:/nonexistent/slave.sock", "127.0.0.1:1"}});
  driver.wait_for_err("no slave yet");
  const std::string text = driver.err();
  CHECK_THAT(text, Contains("unix:/nonexistent/slave.sock") && Contains("No such file"));
  CHECK_THAT(text, Contains("127.0.0.1:1") && Contains("Connection refused"));
  CHECK(driver.is_alive());
}

TEST_CASE("a driver says which slave it has lost, why, and how many tasks wait for another start") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  DriverProcess driver(
      {.part = "hang", .arguments = {folder / "started", "2"}, .slaves = {slave.address()}});
  wait_for_marks(folder / "started", 2);
  slave.kill();
  driver.wait_for_err("slave gandalf is lost: ");
  driver.wait_for_err("; 2 tasks wait for another start");
}

TEST_CASE("two drivers share a slave's slots fairly, and neither waits for the other's end") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    const auto driver = [&](const std::string& user) {
      return DriverProcess::Setup{
          .part = "share",
          .arguments = {folder / "ready", folder / "go", folder / "done", user, "2000"},
          .slaves = {slave.address()},
          .user = user};
    };
    const DriverProcess alice(driver("alice"));
    const DriverProcess bob(driver("bob"));
    wait_for_marks(folder / "ready", 2);
    leave_mark(folder / "go", "");
    wait_for_marks(folder / "done", 220);
    auto done = marks_in(folder / "done");
    // The first few may all be of the driver that was awake sooner.
    const auto of_alice = std::count(done.begin() + 20, done.begin() + 220, "alice");
    CHECK(of_alice >= 70);
    CHECK(of_alice <= 130);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a driver that is killed takes nothing from another one on the same slave") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  DriverProcess doomed({.part = "rest_and_mark",
                        .arguments = {folder / "doomed", "x", "100000"},
                        .slaves = {slave.address()},
                        .user = "alice"});
  DriverProcess other({.part = "tally",
                       .arguments = {folder / "other", "300"},
                       .slaves = {slave.address()},
                       .user = "bob"});
  wait_for_marks(folder / "doomed", 20);
  wait_for_marks(folder / "other", 20);
  doomed.kill();
  CHECK(other.wait() == 0);
  CHECK(other.out() == "300 results\n");
  // Nothing of it was lost, so nothing of it ran twice.
  CHECK(marks_in(folder / "other").size() == 300);
  CHECK(leaks.found() == "");
}

TEST_CASE("two drivers that bring the same program to an empty store at once leave one copy") {
  SlaveProcess slave({.own_store = true});
  const DriverProcess::Setup setup{.part = "call_one", .slaves = {slave.address()}};
  DriverProcess one(setup);
  DriverProcess other(setup);
  for (auto* driver : {&one, &other}) {
    CHECK(driver->wait() == 0);
    CHECK(driver->out() == "42\n");
  }
  const auto is_program = [size = fs::file_size(own_path())](const fs::directory_entry& blob) {
    return blob.is_regular_file() && blob.file_size() == size;
  };
  const fs::directory_iterator blobs(slave.store() + "/blobs");
  CHECK(std::count_if(begin(blobs), end(blobs), is_program) == 1);
  const fs::directory_iterator made(slave.store() + "/derived");
  CHECK(std::distance(begin(made), end(made)) == 1);
}

TEST_CASE("a program that ends before it serves as a worker fails its bag, with its last words") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.environment = {"KNEE_TEST_END_EARLY=" + (folder / "starts")};
    knee::Cluster cluster(options);
    auto bag = cluster.bag({.name = "doomed"});
    for (int i = 0; i < 5; ++i) (void)bag.call<twice>(i);
    const Error error = error_out_of([&] { bag.wait(); });
    CHECK(error.kind() == Error::Kind::refused);
    CHECK(error.slave() == "gandalf");
    CHECK_THAT(error.what(), Contains("cannot find my data") && Contains("9"));
    CHECK(bag.counts().failed == 5);
    // Each task is charged for its refusals, and each refusal is worth a few starts.
    CHECK(marks_in(folder / "starts").size() <= 5 * 3 * 3);
  }
  CHECK(leaks.found() == "");
}
