#include <kj/async-io.h>
#include <kj/debug.h>
#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <set>
#include <thread>

#include "common/rpc/connection.h"
#include "common/rpc/listener.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/peer.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

/// Where a driver waits for slaves that dial.
struct Place {
  TemporaryFolder folder;
  std::string address = "unix:" + (folder / "driver.sock");
  knee::ClusterOptions options = listening_on(address);
};

/// A driver in a process of its own that waits for slaves there.
DriverProcess::Setup driver_at(const std::string& address, const std::string& part,
                               std::vector<std::string> arguments = {}) {
  return {
      .part = part, .arguments = std::move(arguments), .environment = {{"KNEE_LISTEN", address}}};
}

/// The address in the line with which a driver says where it waits.
std::string place_said_by(const DriverProcess& driver) {
  const std::string words = "waiting for slaves on ";
  driver.wait_for_err(words);
  std::string line;
  (void)wait_until([&] {
    const auto text = driver.err();
    const auto begin = text.find(words) + words.size();
    line = text.substr(begin, text.find('\n', begin) - begin);
    return text.find('\n', begin) != text.npos;
  });
  return line;
}

/// A slave of which nothing works but joining.
class BrokenSlave final : public knee::proto::Slave::Server {
  kj::Promise<void> openSession(OpenSessionContext) override {
    return KJ_EXCEPTION(FAILED, "there is no room for a session");
  }
};

class SilentDoor final : public knee::proto::Door::Server {
  kj::Promise<void> hello(HelloContext) override { return kj::NEVER_DONE; }
};

class BrokenDoor final : public knee::proto::Door::Server {};

/// Dials a driver, joins it as "broken" and waits until the driver ends the connection. False: it
/// does not let it in, or keeps it.
bool join_and_be_dropped(kj::AsyncIoContext& io, const std::string& address) {
  auto& timer = io.provider->getTimer();
  auto stream = knee::rpc::connect(knee::rpc::Address::parse(address), io).wait(io.waitScope);
  auto connection = knee::rpc::Connection::open(kj::mv(stream), knee::rpc::Connection::Side::dialed,
                                                kj::heap<BrokenDoor>(), timer)
                        .wait(io.waitScope);
  auto hello = connection->door().helloRequest();
  knee::rpc::describe_build(hello.initHello());
  hello.getHello().setRole(knee::proto::Hello::Role::SLAVE);
  hello.getHello().setName("broken");
  auto met = hello.send().wait(io.waitScope);
  auto join = met.getMeeting().joinRequest();
  join.setSlave(kj::heap<BrokenSlave>());
  const auto joined = join.send().wait(io.waitScope);
  return connection->on_disconnect()
      .then([] { return true; })
      .exclusiveJoin(timer.afterDelay(5 * kj::SECONDS).then([] { return false; }))
      .wait(io.waitScope);
}

/// With what words a cluster refuses to be made.
std::string setup_error(const knee::ClusterOptions& options) {
  try {
    const knee::Cluster cluster(options);
  } catch (const Error& error) {
    CHECK(error.kind() == Error::Kind::setup);
    return error.what();
  }
  return "there was no error";
}

}  // namespace

TEST_CASE("a cluster that cannot listen where it should says so at once, and keeps nothing") {
  const LeakCheck leaks;
  {
    const Place taken;
    const Place other;
    knee::Cluster first(taken.options);
    auto options = other.options;
    options.listen.push_back(taken.address);
    CHECK_THAT(setup_error(options), Contains("cannot wait for slaves: cannot listen on " +
                                              taken.address + ": another process does") &&
                                         Contains("--knee-listen"));
    const knee::Cluster third(other.options);
    SlaveProcess slave({.dial = {taken.address}});
    CHECK(first.call<twice>(21).get() == 42);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a cluster cannot listen on a taken port, nor in a folder that is not safe") {
  const SlaveProcess slave({.tcp = true});
  auto options = listening_on(slave.address());
  options.insecure = true;
  CHECK_THAT(setup_error(options), Contains(slave.address()) && Contains("Address already in use"));
  const TemporaryFolder folder;
  ::chmod(folder.path().c_str(), 0777);
  CHECK_THAT(setup_error(listening_on("unix:" + (folder / "s"))),
             Contains("chmod go-w " + folder.path().string()));
}

TEST_CASE("a program that cannot listen where its user said ends with 2 and the reason") {
  const Place taken;
  const knee::Cluster first(taken.options);
  DriverProcess driver(driver_at(taken.address, "call_one"));
  CHECK(driver.wait() == 2);
  CHECK_THAT(driver.err(), Contains("cannot listen on " + taken.address));
}

TEST_CASE("a slave that dials waits for its driver, and serves it when it comes") {
  const Place place;
  SlaveProcess slave({.dial = {place.address}});
  const LeakCheck leaks({&slave});
  CHECK_THAT(slave.err(),
             Contains("cannot reach " + place.address + " yet") && Contains("trying for ever"));
  {
    knee::Cluster cluster(place.options);
    CHECK(cluster.call<twice>(21).get() == 42);
    CHECK(cluster.slaves() == std::vector<std::string>{"gandalf"});
    CHECK(cluster.slots() == 2);
    slave.process().wait_for_err("serving " + place.address);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a driver waits for slaves that dial, and gets work done when one comes") {
  const LeakCheck leaks;
  {
    const Place place;
    SlaveProcess slave({.dial = {place.address}, .start = false});
    knee::Cluster cluster(place.options);
    auto promise = cluster.call<twice>(21);
    CHECK(cluster.slaves().empty());
    slave.start();
    CHECK(promise.get() == 42);
    CHECK(cluster.slave("gandalf").call<twice>(4).get() == 8);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that dials serves one driver after the other") {
  const Place place;
  SlaveProcess slave({.dial = {place.address}});
  const LeakCheck leaks({&slave});
  for (int i = 0; i < 3; ++i) {
    knee::Cluster cluster(place.options);
    CHECK(cluster.call<twice>(i).get() == 2 * i);
  }
  CHECK(leaks.found() == "");
  CHECK(slave.process().is_alive());
  CHECK(count_of(slave.err(), "serving " + place.address) == 3);
}

TEST_CASE("a slave that dials survives its driver's violent death and serves the next one") {
  const Place place;
  SlaveProcess slave({.dial = {place.address}});
  const LeakCheck leaks({&slave});
  {
    DriverProcess driver(driver_at(place.address, "hang", {place.folder / "started", "5"}));
    wait_for_marks(place.folder / "started", 2);
    driver.kill();
    CHECK(wait_until([&] { return slave.family().empty(); }, 3s));
    // What the killed one has left of its socket is in nobody's way.
    knee::Cluster cluster(place.options);
    auto bag = cluster.bag();
    auto first = bag.call<hold>(1, place.folder / "new", place.folder / "go");
    auto second = bag.call<hold>(2, place.folder / "new", place.folder / "go");
    wait_for_marks(place.folder / "new", 2);
    leave_mark(place.folder / "go", "");
    CHECK(first.get() + second.get() == 3);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave may dial two drivers, and works for both at once") {
  const Place one;
  const Place other;
  SlaveProcess slave({.dial = {one.address, other.address}});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(one.options);
    auto held = cluster.call<hold>(7, one.folder / "started", one.folder / "go");
    wait_for_marks(one.folder / "started");
    DriverProcess driver(driver_at(other.address, "call_one"));
    CHECK(driver.wait() == 0);
    CHECK(driver.out() == "42\n");
    CHECK_FALSE(held.ready());
    leave_mark(one.folder / "go", "");
    CHECK(held.get() == 7);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a second slave of the same name is refused in words, and follows when the first goes") {
  const Place place;
  knee::Cluster cluster(place.options);
  SlaveProcess first({.dial = {place.address}});
  CHECK(cluster.call<twice>(1).get() == 2);
  SlaveProcess second({.dial = {place.address}});
  CHECK_THAT(second.err(), Contains("cannot reach " + place.address) &&
                               Contains("a slave named 'gandalf' is here already") &&
                               Contains("--name"));
  CHECK(cluster.slaves() == std::vector<std::string>{"gandalf"});
  CHECK(cluster.slots() == 2);
  const pid_t worker = cluster.call<own_pid>().get();
  const auto workers = first.workers();
  CHECK(std::find(workers.begin(), workers.end(), worker) != workers.end());
  first.kill();
  second.process().wait_for_err("serving " + place.address);
  CHECK(cluster.call<twice>(2).get() == 4);
  CHECK(second.workers().size() == 1);
}

TEST_CASE("a slave that dials a driver which has dialed one of that name is refused in words") {
  const Place place;
  SlaveProcess dialed;
  const LeakCheck leaks({&dialed});
  {
    auto options = place.options;
    options.slaves = {dialed.address()};
    knee::Cluster cluster(options);
    CHECK(cluster.call<twice>(1).get() == 2);
    SlaveProcess dials({.dial = {place.address}});
    CHECK_THAT(dials.err(),
               Contains("another slave of this driver is named 'gandalf'") && Contains("--name"));
    CHECK(cluster.slots() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("slaves that are dialed and slaves that dial share a bag") {
  const Place place;
  SlaveProcess dialed({.name = "frodo", .slots = 1});
  SlaveProcess dials({.name = "gandalf", .slots = 1, .dial = {place.address}});
  const LeakCheck leaks({&dialed, &dials});
  {
    auto options = place.options;
    options.slaves = {dialed.address()};
    knee::Cluster cluster(options);
    auto bag = cluster.bag();
    // Neither ends before both run.
    auto first = bag.call<hold>(1, place.folder / "started", place.folder / "go");
    auto second = bag.call<hold>(2, place.folder / "started", place.folder / "go");
    wait_for_marks(place.folder / "started", 2);
    const auto names = cluster.slaves();
    CHECK(std::set<std::string>(names.begin(), names.end()) ==
          std::set<std::string>{"frodo", "gandalf"});
    leave_mark(place.folder / "go", "");
    CHECK(first.get() + second.get() == 3);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave dials by TCP only with --insecure") {
  const TemporaryFolder folder;
  ChildProcess slave({.arguments = {std::getenv("KNEE_SLAVE"), "--dial", "127.0.0.1:1"},
                      .environment = {{"XDG_CACHE_HOME", folder.path()}}});
  CHECK(slave.wait() != 0);
  CHECK_THAT(slave.err(), Contains("--insecure"));
}

TEST_CASE("a driver waits for slaves by TCP only if it is told to be insecure") {
  auto options = listening_on("127.0.0.1:0");
  const Error error = error_out_of([&] { const knee::Cluster cluster(options); });
  CHECK(error.kind() == Error::Kind::setup);
  CHECK_THAT(error.what(), Contains("insecure"));
}

TEST_CASE("a slave dials by TCP when both sides are told to be insecure") {
  DriverProcess driver(driver_at("127.0.0.1:0", "call_one"));
  const std::string address = place_said_by(driver);
  REQUIRE_THAT(address, Catch::StartsWith("127.0.0.1:"));
  SlaveProcess slave({.dial = {address}, .flags = {"--insecure"}});
  const LeakCheck leaks({&slave});
  CHECK(driver.wait() == 0);
  CHECK(driver.out() == "42\n");
  CHECK_THAT(driver.err(), Contains("warning: insecure: whoever can reach"));
  CHECK_THAT(slave.err(), Contains("warning: --insecure"));
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave dials its driver by the name of the host") {
  DriverProcess driver(driver_at("127.0.0.1:0", "call_one"));
  const std::string place = place_said_by(driver);
  const std::string address = "localhost" + place.substr(place.rfind(':'));
  SlaveProcess slave({.dial = {address}, .flags = {"--insecure"}});
  CHECK(driver.wait() == 0);
  CHECK(driver.out() == "42\n");
  CHECK_THAT(slave.err(), Contains("serving " + address));
}

TEST_CASE("a slave dials its driver by the name of the host, wherever on it the driver listens") {
  DriverProcess driver(driver_at(":0", "call_one"));
  const std::string place = place_said_by(driver);
  SlaveProcess slave(
      {.dial = {"localhost" + place.substr(place.rfind(':'))}, .flags = {"--insecure"}});
  CHECK(driver.wait() == 0);
  CHECK(driver.out() == "42\n");
}

TEST_CASE("a bag outlives the violent death of its only slave, which dials") {
  const Place place;
  SlaveProcess slave({.dial = {place.address}});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(place.options);
    auto bag = cluster.bag();
    Tally results(300);
    for (int i = 0; i < 300; ++i) bag.call<rest>(i, 2).then([&](int x) { results.add(x); });
    REQUIRE(wait_until([&] { return bag.counts().done > 20; }));
    slave.kill();
    CHECK(bag.counts().done < 300);
    slave.start();
    bag.wait();
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that dials may be stopped for a moment, and nothing runs twice") {
  const Place place;
  SlaveProcess slave({.dial = {place.address}});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(place.options);
    auto bag = cluster.bag({.attempts = 1});
    for (int i = 0; i < 100; ++i) (void)bag.call<rest_and_mark>(place.folder / "done", "x");
    wait_for_marks(place.folder / "done", 10);
    slave.process().stop();
    // The worker ends what it has while nobody looks.
    CHECK_FALSE(wait_until([&] { return marks_in(place.folder / "done").size() == 100; }, 300ms));
    slave.process().resume();
    bag.wait();
    CHECK(marks_in(place.folder / "done").size() == 100);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that dials and was stopped until it was given up comes back by itself",
          "[.slow]") {
  const Place place;
  SlaveProcess slave({.dial = {place.address}});
  SlaveProcess other({.name = "frodo", .dial = {place.address}, .start = false});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(place.options);
    auto bag = cluster.bag();
    Tally results(3);
    const auto count = [&](int x) { results.add(x); };
    for (int i = 0; i < 2; ++i)
      bag.call<hold>(i, place.folder / "started", place.folder / "go").then(count);
    wait_for_marks(place.folder / "started", 2);
    slave.process().stop();
    REQUIRE(wait_until([&] { return cluster.slaves().empty(); }));
    other.start();
    // Those that the first one held run here.
    wait_for_marks(place.folder / "started", 4);
    slave.process().resume();
    slave.process().wait_for_err("has ended the connection; dialing again");
    REQUIRE(wait_until([&] { return cluster.slots() == 4; }));
    leave_mark(place.folder / "go", "");
    bag.wait();
    results.add(cluster.slave("gandalf").call<twice>(1).get());
    CHECK(results.complaints() == "");
    other.kill();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that dials whoever greets and then says nothing gives up and dials again",
          "[.slow]") {
  const TemporaryFolder folder;
  const std::string address = "unix:" + folder / "s";
  const Peer silent(address, [] { return kj::heap<SilentDoor>(); });
  SlaveProcess slave({.dial = {address}, .start = false});
  slave.launch();
  slave.process().wait_for_err("did not let this slave in within 10 s");
}

TEST_CASE("a slave that joined and cannot be used is let go, and may come again") {
  const Place place;
  knee::Cluster cluster(place.options);
  std::atomic<int> dropped = 0;
  std::thread([&] {
    auto io = kj::setupAsyncIo();
    for (int i = 0; i < 20 && dropped < 2; ++i) {
      KJ_IF_MAYBE (refused, kj::runCatchingExceptions([&] {
                     dropped += join_and_be_dropped(io, place.address) ? 1 : 0;
                   })) {
        // It came before the driver has the last one's end behind it.
        io.provider->getTimer().afterDelay(50 * kj::MILLISECONDS).wait(io.waitScope);
      }
    }
  }).join();
  CHECK(dropped == 2);
  SlaveProcess slave({.dial = {place.address}});
  CHECK(cluster.call<twice>(3).get() == 6);
}
