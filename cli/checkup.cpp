#include "cli/checkup.h"

#include <arpa/inet.h>
#include <kj/async-io.h>
#include <netdb.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>

#include <knee/cluster.h>

#include "common/rpc/address.h"
#include "common/rpc/connection.h"
#include "common/rpc/listener.h"
#include "common/rpc/rpc_loop.h"
#include "proto/slave.capnp.h"

namespace knee::cli {
namespace {

using rpc::Address;

int seven_times(int number) {
  return 7 * number;
}

std::string milliseconds_text(std::chrono::nanoseconds time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()) +
         " ms";
}

/// The steps so far. Each takes what the ones before it have found.
class Checkup {
 public:
  Checkup(std::string text, ClusterOptions options)
      : text_(std::move(text)), options_(std::move(options)) {}

  std::vector<CheckupStep> run() {
    step("address", &Checkup::parse) && step("permission", &Checkup::allow) &&
        step("name", &Checkup::resolve) && step("connection", &Checkup::connect) &&
        step("greeting", &Checkup::greet) && step("description", &Checkup::describe) &&
        step("command", &Checkup::run_command) && step("task", &Checkup::run_task);
    return std::move(steps_);
  }

 private:
  /// What a step returns is its detail; what it throws, the reason it failed.
  bool step(const char* name, std::string (Checkup::*check)()) {
    CheckupStep step;
    step.name = name;
    try {
      step.detail = (this->*check)();
      step.passed = true;
    } catch (const kj::Exception& error) {
      step.detail = rpc::text_of(error);
    } catch (const std::exception& error) {
      step.detail = error.what();
    }
    if (!step.passed) step.advice = advice_;
    steps_.push_back(step);
    return step.passed;
  }

  bool local() const { return address_.kind == Address::Kind::unix_socket; }

  std::string parse() {
    advice_ = "Write HOST, HOST:PORT, [IPV6]:PORT or unix:PATH.";
    address_ = Address::parse(text_);
    return address_.text();
  }

  std::string allow() {
    if (local()) return "a Unix socket, which only its owner can use";
    advice_ =
        "Whoever reaches a TCP port of a slave may run programs there. On a network you trust say "
        "--insecure; else carry the slave's socket here:\n  ssh -N -L $HOME/slave.sock:SOCKET " +
        address_.host +
        " &\nand use unix:$HOME/slave.sock; SOCKET is what knee-slave says it listens on.";
    if (!options_.insecure) throw std::runtime_error("TCP is not allowed without --insecure");
    return "TCP, allowed by --insecure";
  }

  std::string resolve() {
    if (local()) return find_socket();
    advice_ = "Check the spelling, /etc/hosts and DNS (getent hosts " + address_.host + ").";
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(address_.host.c_str(), nullptr, &hints, &found);
    if (error != 0)
      throw std::runtime_error("cannot find '" + address_.host + "': " + ::gai_strerror(error));
    char number[NI_MAXHOST] = {};
    ::getnameinfo(found->ai_addr, found->ai_addrlen, number, sizeof number, nullptr, 0,
                  NI_NUMERICHOST);
    ::freeaddrinfo(found);
    return address_.host + " is " + number;
  }

  std::string find_socket() {
    advice_ =
        "Start knee-slave; it says where it listens. A socket of another machine is carried here "
        "by ssh -L.";
    struct stat status {};
    if (::stat(address_.path.c_str(), &status) != 0)
      throw std::runtime_error("cannot find the socket '" + address_.path +
                               "': " + std::strerror(errno));
    if (!S_ISSOCK(status.st_mode))
      throw std::runtime_error("'" + address_.path + "' is not a socket");
    return "the socket is there";
  }

  std::string connect() {
    advice_ =
        local() ? "Nobody listens on the socket any more: start knee-slave again."
                : "Is knee-slave running there, with --listen :" + std::to_string(address_.port) +
                      " and --insecure? Refused: nobody listens on that port. Timed out: a "
                      "firewall is in between; let the slave dial you (knee-slave --dial), or use "
                      "ssh -L.";
    stream_ = rpc::connect(address_, io_, 10 * kj::SECONDS).wait(io_.waitScope);
    return "connected";
  }

  std::string greet() {
    advice_ =
        "Something else listens there, or a Knee of another protocol: use the same version of Knee "
        "on "
        "both sides.";
    connection_ = rpc::Connection::open(kj::mv(stream_), rpc::Connection::Side::dialed,
                                        kj::heap<ClosedDoor>(), io_.provider->getTimer())
                      .wait(io_.waitScope);
    auto request = connection_->door().helloRequest();
    auto hello = request.initHello();
    rpc::describe_build(hello);
    hello.setRole(proto::Hello::Role::DRIVER);
    hello.setName("knee doctor");
    hello.setIdentity("knee doctor");
    auto answer =
        io_.provider->getTimer().timeoutAfter(10 * kj::SECONDS, request.send()).wait(io_.waitScope);
    const auto theirs = answer.getHello();
    if (theirs.getRole() == proto::Hello::Role::DRIVER) {
      advice_ = "This is a driver that waits for slaves: start knee-slave --dial " +
                address_.text() + " on a machine that is to work for it.";
      throw std::runtime_error("a driver answered, not a slave");
    }
    if (theirs.getRefusal().size() != 0) throw std::runtime_error(theirs.getRefusal().cStr());
    if (const auto refusal = rpc::refusal_of(theirs); !refusal.empty())
      throw std::runtime_error(refusal);
    slave_ = answer.getSlave();
    return std::string("slave ") + theirs.getName().cStr() + ", Knee " +
           theirs.getVersion().cStr() + ", protocol " + std::to_string(theirs.getProtocol());
  }

  std::string describe() {
    advice_ = "The slave hangs or its machine is overloaded: look at it there.";
    const auto asked = std::chrono::steady_clock::now();
    KJ_IF_MAYBE (slave, slave_) {
      auto answer = io_.provider->getTimer()
                        .timeoutAfter(10 * kj::SECONDS, slave->describeRequest().send())
                        .wait(io_.waitScope);
      const auto took = std::chrono::duration_cast<std::chrono::microseconds>(
          std::chrono::steady_clock::now() - asked);
      const auto it = answer.getDescription();
      architecture_ = it.getArchitecture();
      advice_ = "It was told to end (SIGTERM), and will when its tasks have ended: start it again.";
      if (it.getDraining())
        throw std::runtime_error("the slave takes no new tasks: it is draining");
      return std::string(it.getArchitecture().cStr()) + ", " + std::to_string(it.getSlots()) +
             " slots (" + std::to_string(it.getSlotsBusy()) + " busy), answered in " +
             std::to_string(took.count()) + " us";
    }
    throw std::runtime_error("there is no slave to ask");
  }

  std::string run_command() {
    advice_ =
        "If the slots are busy, it would have to wait for them: see BUSY in knee slaves. Else look "
        "at what knee-slave says on its stderr.";
    options_.slaves = {text_};
    options_.listen.clear();
    options_.local = false;
    options_.commands_only = true;
    Cluster cluster(options_);
    Command command;
    command.arguments = {"sh", "-c", "echo $((6 * 7))"};
    auto promise = cluster.run(std::move(command), {.attempts = 1});
    if (!promise.wait_for(std::chrono::seconds(20)))
      throw std::runtime_error("a command did not end within 20 s");
    const auto result = promise.get();
    if (result.out != "42\n")
      throw std::runtime_error("a command ran, but printed '" + result.out + result.err + "'");
    return "ran one in " + milliseconds_text(result.run_time);
  }

  std::string run_task() {
    utsname here{};
    ::uname(&here);
    if (architecture_ != here.machine)
      return std::string("not tried: this machine is ") + here.machine + ", the slave " +
             architecture_ + "; it can run commands for it";
    advice_ =
        "Commands run there, but not a copy of this program: look at what knee-slave says on its "
        "stderr.";
    options_.commands_only = false;
    Cluster cluster(options_);
    const auto start = std::chrono::steady_clock::now();
    auto promise = cluster.call<seven_times>(TaskOptions{.attempts = 1}, 6);
    if (!promise.wait_for(std::chrono::seconds(60)))
      throw std::runtime_error("a function of this program did not end within 60 s");
    if (promise.get() != seven_times(6)) throw std::runtime_error("a function came to nonsense");
    return "ran a function of this program, sent there if need be, in " +
           milliseconds_text(std::chrono::steady_clock::now() - start);
  }

  class ClosedDoor final : public proto::Door::Server {};

  std::string text_;
  ClusterOptions options_;
  std::vector<CheckupStep> steps_;
  std::string advice_;
  std::string architecture_;  ///< the slave's
  Address address_;
  kj::AsyncIoContext io_ = kj::setupAsyncIo();
  kj::Own<kj::AsyncIoStream> stream_;
  kj::Own<rpc::Connection> connection_;
  kj::Maybe<proto::Slave::Client> slave_;
};

}  // namespace

std::vector<CheckupStep> check_slave(const std::string& address, ClusterOptions options) {
  return Checkup(address, std::move(options)).run();
}

}  // namespace knee::cli
