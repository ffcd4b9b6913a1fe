#include <knee/cluster.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/base/unique_fd.h"
#include "tests/cli/tool_process.h"
#include "tests/system/harness/peer.h"
#include "tests/system/harness/slave_process.h"

using namespace knee::test;
using Catch::Contains;

TEST_CASE("knee doctor finds a well slave well") {
  SlaveProcess slave;
  Tool tool({"doctor", slave.address()});
  CHECK(tool.wait() == 0);
  CHECK_THAT(tool.out(), Contains("slave gandalf") && Contains("ran a function of this program") &&
                             Contains("well") && !Contains("FAILED"));
}

TEST_CASE("knee doctor finds out that programs do not fit into a slave's store") {
  SlaveProcess slave({.flags = {"--store-size", "200000"}});
  Tool tool({"doctor", slave.address()});
  CHECK(tool.wait() == 1);
  CHECK_THAT(tool.out(), Contains("FAILED  task") && Contains("larger --store-size"));
}

TEST_CASE("knee doctor names the step that fails and what to do") {
  const TemporaryFolder here;
  Tool gone({"doctor", "unix:" + here / "nothing.sock"});
  CHECK(gone.wait() == 1);
  CHECK_THAT(gone.out(), Contains("FAILED  name") && Contains("Start knee-slave"));
  Tool tcp({"doctor", "127.0.0.1:1"});
  CHECK(tcp.wait() == 1);
  CHECK_THAT(tcp.out(), Contains("FAILED  permission") && Contains("ssh -N -L"));
  Tool nameless({"doctor", "--insecure", "no-such-host.invalid"});
  CHECK(nameless.wait() == 1);
  CHECK_THAT(nameless.out(), Contains("FAILED  name") &&
                                 Contains("cannot find 'no-such-host.invalid'") &&
                                 Contains("getent hosts"));
  Tool refused({"doctor", "--insecure", "--json", "127.0.0.1:1"});
  CHECK(refused.wait() == 1);
  const auto steps = boost::json::parse(refused.out()).as_array();
  CHECK(steps.back().at("step") == "connection");
  CHECK_FALSE(steps.back().at("passed").as_bool());
}

TEST_CASE("knee doctor says what is wrong with an address") {
  for (const char* address : {"gandalf:port", "fd00::7", "[fd00::7", "unix:"}) {
    CAPTURE(address);
    Tool tool({"doctor", address});
    CHECK(tool.wait() == 1);
    CHECK_THAT(tool.out(), Catch::StartsWith("FAILED  address") &&
                               Contains("bad address '" + std::string(address) + "'") &&
                               Contains("Write HOST, HOST:PORT, [IPV6]:PORT or unix:PATH."));
    CHECK(count_of(tool.out(), "FAILED") == 1);
  }
}

TEST_CASE("knee doctor says that a slave runs no commands, or none as they should be") {
  const TemporaryFolder here;
  SlaveProcess slave({.environment = {{"PATH", here.path()}}});
  Tool without({"doctor", slave.address()});
  CHECK(without.wait() == 1);
  CHECK_THAT(without.out(), Contains("ok      description") && Contains("FAILED  command") &&
                                Contains("has no program 'sh'") &&
                                Contains("what knee-slave says on its stderr"));

  std::ofstream(here / "sh") << "#!/bin/sh\necho 43\n";
  std::filesystem::permissions(here / "sh", std::filesystem::perms::owner_all);
  Tool wrong({"doctor", "--json", slave.address()});
  CHECK(wrong.wait() == 1);
  const auto last = boost::json::parse(wrong.out()).as_array().back();
  CHECK(last.at("step") == "command");
  CHECK_FALSE(last.at("passed").as_bool());
  CHECK(last.at("detail") == "a command ran, but printed '43\n'");
  CHECK_THAT(last.at("advice").as_string().c_str(), Contains("BUSY in knee slaves"));
}

TEST_CASE("knee doctor says that not a slave listens, or one of another version, and what to do") {
  const TemporaryFolder here;
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = here / "other.sock";
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  const knee::UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(listening.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
  REQUIRE(::listen(listening.get(), 1) == 0);
  Tool other({"doctor", "unix:" + path});
  const knee::UniqueFd visitor(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(::write(visitor.get(), "SSH-2.0-OpenSSH_9.2\r\n", 21) == 21);
  CHECK(other.wait() == 1);
  CHECK_THAT(other.out(), Contains("FAILED  greeting") && Contains("began with 'SSH-2.0-'") &&
                              Contains("Something else listens there"));

  const std::string address = "unix:" + here / "future.sock";
  const Peer peer(address, [] { return kj::heap<FutureDoor>(); });
  Tool future({"doctor", address});
  CHECK(future.wait() == 1);
  CHECK_THAT(future.out(), Contains("FAILED  greeting") &&
                               Contains("protocol 2 (Knee 9.9) cannot talk to protocol 1") &&
                               Contains("use the same version of Knee"));

  knee::ClusterOptions options;
  options.listen = {"unix:" + here / "driver.sock"};
  const knee::Cluster cluster(options);
  Tool driver({"doctor", options.listen.front()});
  CHECK(driver.wait() == 1);
  CHECK_THAT(driver.out(), Contains("FAILED  greeting") &&
                               Contains("a driver answered, not a slave") &&
                               Contains("knee-slave --dial"));
}

TEST_CASE("knee doctor says that a slave was told to end") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Tool busy(slave, {"run", "--", "sh", "-c", "touch " + here / "runs" + "; exec sleep 1000"});
  REQUIRE(wait_until([&] { return std::filesystem::exists(here / "runs"); }));
  slave.process().signal(SIGTERM);
  slave.process().wait_for_err("draining");
  Tool tool({"doctor", slave.address()});
  CHECK(tool.wait() == 1);
  CHECK_THAT(tool.out(), Contains("FAILED  description") && Contains("it is draining") &&
                             Contains("start it again"));
}
