#include <arpa/inet.h>
#include <kj/async-io.h>
#include <kj/debug.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "common/rpc/connection.h"
#include "common/rpc/listener.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/peer.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using namespace std::string_literals;

namespace {

const std::string kPreface = "KNEE\0\0\0\1"s;

/// A client of a port that follows no protocol.
class Stranger {
 public:
  explicit Stranger(unsigned port)
      : socket_(knee::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    knee::check(
        ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
        "connect");
  }

  /// False: the other side has closed the connection.
  bool say(const std::string& text) const {
    for (std::size_t sent = 0; sent < text.size();) {
      const auto n = ::send(socket_.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n < 0) return false;
      sent += static_cast<std::size_t>(n);
    }
    return true;
  }

  /// Says that, and no more. Leaves after the other side has: what was said would else be lost if
  /// that had spoken, too.
  void say_last(const std::string& text) const {
    say(text);
    ::shutdown(socket_.get(), SHUT_WR);
    CHECK(is_dropped());
  }

  /// Whether the other side closes the connection before the deadline.
  bool is_dropped(std::chrono::milliseconds deadline = kDeadline) const {
    const auto end = std::chrono::steady_clock::now() + deadline;
    for (char buffer[4096];;) {
      const auto left = end - std::chrono::steady_clock::now();
      pollfd ready{socket_.get(), POLLIN, 0};
      const int milliseconds = static_cast<int>(
          std::max<long>(0, std::chrono::duration_cast<std::chrono::milliseconds>(left).count()));
      if (::poll(&ready, 1, milliseconds) != 1) return false;
      if (::recv(socket_.get(), buffer, sizeof buffer, 0) <= 0) return true;
    }
  }

 private:
  knee::UniqueFd socket_;
};

/// Keeps a bag running over a slave while `disturb` does its worst.
template <class Disturb>
void disturb_a_bag(Disturb disturb) {
  SlaveProcess slave({.tcp = true});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1});
    REQUIRE(bag.call<twice>(1).get() == 2);
    Tally results(100);
    for (int i = 0; i < 100; ++i) bag.call<rest>(i, 5).then([&](int x) { results.add(x); });
    disturb(slave);
    CHECK(slave.process().is_alive());
    bag.wait();
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

/// Until it has logged so many dropped connections, and no more.
void wait_for_drops(const ChildProcess& process, std::size_t count) {
  const auto drops = [&] { return count_of(process.err(), "dropped a connection"); };
  CHECK(wait_until([&] { return drops() >= count; }));
  CHECK(drops() == count);
}

/// A slave whose commands all end with a large output and a large file that cannot be had.
class ForgetfulSlave final : public knee::proto::Slave::Server {
 public:
  explicit ForgetfulSlave(std::atomic<std::uint64_t>& kept) : kept_(kept) {}
  kj::Promise<void> describe(DescribeContext) override { return kj::READY_NOW; }
  kj::Promise<void> store(StoreContext) override { return kj::READY_NOW; }
  kj::Promise<void> openSession(OpenSessionContext context) override {
    context.getResults().setSession(kj::heap<Session>(kept_));
    return kj::READY_NOW;
  }

 private:
  class Session final : public knee::proto::Session::Server {
   public:
    explicit Session(std::atomic<std::uint64_t>& kept) : kept_(kept) {}
    kj::Promise<void> exchange(ExchangeContext context) override {
      const auto work = context.getParams().getWork();
      kept_ -= work.getDropValues().size();
      const auto tasks = work.getTasks();
      if (tasks.size() == 0 && std::exchange(greeted_, true)) return kj::NEVER_DONE;
      auto update = context.getResults().initUpdate();
      update.setSlots(1);
      auto outcomes = update.initOutcomes(tasks.size());
      for (unsigned i = 0; i < tasks.size(); ++i) {
        outcomes[i].setId(tasks[i].getId());
        outcomes[i].setAttempt(tasks[i].getAttempt());
        auto ended = outcomes[i].initCommandEnded();
        keep(ended.initFiles(1)[0].initContent());
        keep(ended.initStdout());
      }
      return kj::READY_NOW;
    }
    kj::Promise<void> getValue(GetValueContext) override {
      return KJ_EXCEPTION(FAILED, "cannot read it");
    }

   private:
    void keep(knee::proto::Payload::Builder payload) {
      payload.setValue(++last_);
      payload.setSize(100);
      ++kept_;
    }
    std::atomic<std::uint64_t>& kept_;
    std::uint64_t last_ = 0;
    bool greeted_ = false;
  };
  std::atomic<std::uint64_t>& kept_;
};

class ForgetfulDoor final : public knee::proto::Door::Server {
 public:
  explicit ForgetfulDoor(std::atomic<std::uint64_t>& kept) : kept_(kept) {}
  kj::Promise<void> hello(HelloContext context) override {
    auto hello = context.getResults().initHello();
    knee::rpc::describe_build(hello);
    hello.setRole(knee::proto::Hello::Role::SLAVE);
    hello.setName("forgetful");
    context.getResults().setSlave(kj::heap<ForgetfulSlave>(kept_));
    return kj::READY_NOW;
  }

 private:
  std::atomic<std::uint64_t>& kept_;
};

using Introduce = std::function<void(knee::proto::Hello::Builder)>;

struct Answer {
  std::string refusal;
  bool is_let_in = false;
};

/// What comes of a hello with what `introduce` says, to the slave or driver at `address`.
Answer answer_to(const std::string& address, const Introduce& introduce) {
  Answer result;
  std::thread([&] {
    auto io = kj::setupAsyncIo();
    auto stream = knee::rpc::connect(knee::rpc::Address::parse(address), io);
    auto connection =
        knee::rpc::Connection::open(stream.wait(io.waitScope), knee::rpc::Connection::Side::dialed,
                                    kj::heap<FutureDoor>(), io.provider->getTimer())
            .wait(io.waitScope);
    auto request = connection->door().helloRequest();
    introduce(request.initHello());
    auto answer = request.send().wait(io.waitScope);
    result.refusal = answer.getHello().getRefusal().cStr();
    result.is_let_in = answer.hasSlave() || answer.hasMeeting();
  }).join();
  return result;
}

/// The version that a slave says it is of.
std::string version_of(const SlaveProcess& slave) {
  knee::Cluster cluster(reaching(slave));
  CHECK(cluster.call<twice>(21).get() == 42);
  return cluster.slave(slave.name()).describe().version;
}

/// Writes a knee-slave that says another version, of the same length, everywhere.
void make_slave_of_version(const std::string& file, const std::string& ours,
                           const std::string& theirs) {
  std::string content = content_of(std::getenv("KNEE_SLAVE"));
  for (auto at = content.find(ours); at != content.npos; at = content.find(ours, at))
    content.replace(at, ours.size(), theirs);
  std::ofstream(file, std::ios::binary) << content << std::flush;
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
}

}  // namespace

TEST_CASE("a client that speaks something else is dropped and logged once") {
  disturb_a_bag([](const SlaveProcess& slave) {
    const Stranger browser(slave.port());
    browser.say("GET / HTTP/1.1\r\nHost: gandalf\r\n\r\n");
    CHECK(browser.is_dropped());
    slave.process().wait_for_err("does not speak Knee");
    CHECK(count_of(slave.err(), "dropped a connection") == 1);
  });
}

TEST_CASE("a client that goes away in the middle of its first words is logged, a silent one not") {
  disturb_a_bag([](const SlaveProcess& slave) {
    { const Stranger silent(slave.port()); }
    Stranger(slave.port()).say_last("KNEE");
    slave.process().wait_for_err("does not speak Knee; it began with 'KNEE'");
    CHECK(count_of(slave.err(), "dropped a connection") == 1);
  });
}

TEST_CASE("a client that falls silent in the middle of its first words disturbs nobody") {
  disturb_a_bag([](const SlaveProcess& slave) {
    auto silent = std::make_shared<Stranger>(slave.port());
    silent->say("KNEE");
    CHECK_FALSE(silent->is_dropped(300ms));
  });
}

TEST_CASE("a client that is silent for ten seconds is dropped", "[.slow]") {
  disturb_a_bag([](const SlaveProcess& slave) {
    const Stranger silent(slave.port());
    silent.say("KNEE");
    CHECK(silent.is_dropped());
    slave.process().wait_for_err("said nothing for 10 s");
    CHECK(count_of(slave.err(), "dropped a connection") == 1);
  });
}

TEST_CASE("a client that ends in the middle of a message is dropped") {
  disturb_a_bag([](const SlaveProcess& slave) {
    // One segment of 1000 words, of which 100 come.
    const std::string header = "\0\0\0\0\xe8\3\0\0"s;
    Stranger(slave.port()).say_last(kPreface + header + std::string(800, '\0'));
    wait_for_drops(slave.process(), 1);
    const Stranger huge(slave.port());
    // One segment of 2^32 - 1 words.
    huge.say(kPreface + "\0\0\0\0\xff\xff\xff\xff"s + std::string(64, '\0'));
    CHECK(huge.is_dropped());
    wait_for_drops(slave.process(), 2);
    const Stranger many(slave.port());
    // 2^32 segments.
    many.say(kPreface + "\xff\xff\xff\xff"s + std::string(64, '\0'));
    CHECK(many.is_dropped());
    wait_for_drops(slave.process(), 3);
    CHECK_THAT(slave.err(), Contains("no hello was in the 808 bytes after the preface"));
  });
}

TEST_CASE("garbage behind the right first words is dropped and logged once") {
  disturb_a_bag([](const SlaveProcess& slave) {
    const Stranger stranger(slave.port());
    stranger.say(kPreface + "GET / HTTP/1.1\r\nHost: gandalf\r\n\r\n");
    CHECK(stranger.is_dropped());
    wait_for_drops(slave.process(), 1);
  });
}

TEST_CASE("a client that says no more than the right first words is not logged, nor are drivers") {
  SlaveProcess slave({.tcp = true});
  const LeakCheck leaks({&slave});
  Stranger(slave.port()).say_last(kPreface);
  {
    knee::Cluster cluster(reaching(slave));
    CHECK(cluster.call<twice>(1).get() == 2);
  }
  // Those before it have been seen to when this one is.
  Stranger(slave.port()).say_last("KNEE");
  wait_for_drops(slave.process(), 1);
  CHECK_THAT(slave.err(), Contains("it began with 'KNEE'"));
  CHECK(leaks.found() == "");
}

TEST_CASE(
    "a stranger at the port where a driver waits is dropped and logged once, and slaves come") {
  DriverProcess driver({.part = "call_one", .environment = {{"KNEE_LISTEN", "127.0.0.1:0"}}});
  const std::string words = "waiting for slaves on 127.0.0.1:";
  driver.wait_for_err(words);
  const auto text = driver.err();
  const auto port = static_cast<unsigned>(std::stoul(text.substr(text.find(words) + words.size())));
  std::size_t strangers = 0;
  for (const auto& start : {""s, kPreface}) {
    const Stranger browser(port);
    browser.say(start + "GET / HTTP/1.1\r\nHost: gandalf\r\n\r\n");
    CHECK(browser.is_dropped());
    wait_for_drops(driver, ++strangers);
  }
  Stranger(port).say_last(kPreface + "\0\0\0\0\xe8\3\0\0"s + std::string(800, '\0'));
  wait_for_drops(driver, ++strangers);
  const SlaveProcess slave({.tcp = true, .dial = {"127.0.0.1:" + std::to_string(port)}});
  const LeakCheck leaks({&slave});
  CHECK(driver.wait() == 0);
  CHECK(driver.out() == "42\n");
  CHECK(count_of(driver.err(), "dropped a connection") == strangers);
  CHECK(leaks.found() == "");
}

TEST_CASE("a hundred megabytes of zeros are dropped long before their end") {
  disturb_a_bag([](const SlaveProcess& slave) {
    const std::string zeros(1024 * 1024, '\0');
    for (const auto& first : {""s, kPreface}) {
      const Stranger flood(slave.port());
      flood.say(first);
      int sent = 0;
      while (sent < 100 && flood.say(zeros)) ++sent;
      CHECK(sent < 20);
    }
    wait_for_drops(slave.process(), 2);
    CHECK(resident_memory_of(slave.pid()) < 100 * 1024 * 1024 * kMemorySlack);
  });
}

TEST_CASE("a driver of another protocol is refused by the slave, in words on both sides") {
  disturb_a_bag([](const SlaveProcess& slave) {
    const auto answer = answer_to(slave.address(), [](knee::proto::Hello::Builder hello) {
      describe_future(hello, "future driver");
      hello.setRole(knee::proto::Hello::Role::DRIVER);
    });
    CHECK_FALSE(answer.is_let_in);
    CHECK_THAT(answer.refusal, Contains("protocol 2 (Knee 9.9)") && Contains("protocol 1") &&
                                   Contains("use the same Knee version"));
    slave.process().wait_for_err("refused");
    CHECK_THAT(slave.err(), Contains("future driver") && Contains("protocol 2 (Knee 9.9)"));
  });
}

TEST_CASE("a slave of another protocol is refused by the driver, in words") {
  const TemporaryFolder folder;
  const std::string address = "unix:" + (folder / "slave.sock");
  const Peer peer(address, [] { return kj::heap<FutureDoor>(); });
  const SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    auto options = reaching(slave);
    options.slaves.push_back(address);
    knee::Cluster cluster(options);
    Others others(cluster);
    DriverProcess driver({.part = "call_one", .slaves = {address}});
    driver.wait_for_err("no slave yet");
    CHECK_THAT(driver.err(), Contains("protocol 2 (Knee 9.9) cannot talk to protocol 1"));
    CHECK(driver.is_alive());
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave of another protocol that dials is refused by the driver, in words") {
  const TemporaryFolder folder;
  const std::string address = "unix:" + (folder / "driver.sock");
  SlaveProcess slave({.dial = {address}});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(listening_on(address));
    REQUIRE(cluster.call<twice>(21).get() == 42);
    Others others(cluster);
    const auto answer = answer_to(address, [](knee::proto::Hello::Builder hello) {
      describe_future(hello, "future slave");
      hello.setRole(knee::proto::Hello::Role::SLAVE);
    });
    CHECK_FALSE(answer.is_let_in);
    CHECK_THAT(answer.refusal, Contains("protocol 2 (Knee 9.9) cannot talk to protocol 1") &&
                                   Contains("use the same Knee version"));
    CHECK(others.complaints() == "");
    CHECK(cluster.slaves() == std::vector<std::string>{"gandalf"});
    CHECK(cluster.call<twice>(1).get() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that dials a driver of another protocol says so, and serves another driver") {
  const TemporaryFolder folder;
  const std::string future = "unix:" + (folder / "future.sock");
  const std::string address = "unix:" + (folder / "driver.sock");
  const Peer peer(future, [] { return kj::heap<FutureDoor>(); });
  SlaveProcess slave({.dial = {future, address}});
  const LeakCheck leaks;
  {
    CHECK_THAT(slave.err(), Contains("cannot reach " + future + " yet: protocol 2 (Knee 9.9) " +
                                     "cannot talk to protocol 1"));
    knee::Cluster cluster(listening_on(address));
    Others others(cluster);
    CHECK(others.complaints() == "");
    CHECK(slave.process().is_alive());
  }
  CHECK(wait_until([&] { return slave.family().empty(); }));
  slave.kill();
  CHECK(leaks.found() == "");
}

TEST_CASE("a driver of another version that speaks the same protocol is let in") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const auto answer = answer_to(slave.address(), [](knee::proto::Hello::Builder hello) {
    knee::rpc::describe_build(hello);
    hello.setVersion("9.9");
    hello.setName("newer driver");
    hello.setRole(knee::proto::Hello::Role::DRIVER);
  });
  CHECK(answer.refusal == "");
  CHECK(answer.is_let_in);
  CHECK_THAT(slave.err(), !Contains("refused"));
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave of another version that speaks the same protocol is used, and tells its own") {
  SlaveProcess gandalf;
  const std::string ours = version_of(gandalf);
  std::string theirs = ours;
  theirs.front() = theirs.front() == '9' ? '8' : '9';
  const TemporaryFolder folder;
  make_slave_of_version(folder / "knee-slave", ours, theirs);
  SlaveProcess frodo(
      {.name = "frodo", .around = {"sh", "-c", R"(shift; exec "$0" "$@")", folder / "knee-slave"}});
  const LeakCheck leaks({&gandalf, &frodo});
  CHECK(version_of(frodo) == theirs);
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    REQUIRE(wait_until([&] { return cluster.slots() == 4; }));
    Others others(cluster);
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("results that cannot be fetched do not stay at the slave") {
  const TemporaryFolder folder;
  const std::string address = "unix:" + (folder / "slave.sock");
  std::atomic<std::uint64_t> kept = 0;
  const Peer peer(address, [&] { return kj::heap<ForgetfulDoor>(kept); });
  knee::ClusterOptions options;
  options.slaves = {address};
  options.progress = false;
  options.commands_only = true;
  knee::Cluster cluster(options);
  knee::Command command;
  command.arguments = {"true"};
  CHECK_THROWS_WITH(cluster.run(command).get(), Contains("cannot read it"));
  CHECK(wait_until([&] { return kept == 0; }));
}
