#include "slave/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/base/unique_fd.h"
#include "common/rpc/socket_stream.h"
#include "tests/slave/store/store_fixture.h"
#include "tests/system/harness/wait_until.h"

using namespace knee;
using namespace knee::slave;
using knee::slave::test::TempFolder;
using knee::test::wait_until;

namespace {

class NoDoor final : public proto::Door::Server {};

/// What a driver does at its slave before it vanishes.
using Play = std::function<void(proto::Slave::Client slave, kj::WaitScope& scope)>;

void play_driver(UniqueFd socket, const Play& play) {
  auto io = kj::setupAsyncIo();
  auto connection = rpc::Connection::open(
                        kj::heap<rpc::SocketStream>(io.unixEventPort, std::move(socket)),
                        rpc::Connection::Side::dialed, kj::heap<NoDoor>(), io.provider->getTimer())
                        .wait(io.waitScope);
  auto request = connection->door().helloRequest();
  rpc::describe_build(request.initHello());
  auto slave = request.send().wait(io.waitScope).getSlave();
  play(slave, io.waitScope);
  // What was called before it has begun when this is answered.
  slave.describeRequest().send().wait(io.waitScope);
}

/// Whether a thread of this process waits for something.
bool sleeps(pid_t thread) {
  std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string line;
  std::getline(stat, line);
  const auto name = line.rfind(") ");
  return name != line.npos && line[name + 2] == 'S';
}

/// A slave in this process that a driver has started and leaves. Signals are as before afterwards.
class LeftDaemon {
 public:
  LeftDaemon() {
    sigset_t none;
    sigemptyset(&none);
    ::pthread_sigmask(SIG_BLOCK, &none, &signals_);
    kj::UnixEventPort::captureSignal(SIGTERM);
    kj::UnixEventPort::captureSignal(SIGINT);
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    socket_.reset(ends[0]);
    Options options;
    options.name = "gandalf";
    options.slots = 1;
    options.store = store();
    options.inherited = ends[1];
    daemon_ = std::make_unique<Daemon>(std::move(options), 1024);
  }
  ~LeftDaemon() { ::pthread_sigmask(SIG_SETMASK, &signals_, nullptr); }

  std::string store() const { return folder_ / "store"; }
  /// Until the driver is gone; from now on the store's work waits, as for another process.
  int run(const Play& play) {
    lock_.reset(::open((store() + "/lock").c_str(), O_RDWR | O_CLOEXEC));
    REQUIRE(::flock(lock_.get(), LOCK_EX) == 0);
    std::thread driver([&] { play_driver(std::move(socket_), play); });
    const int code = daemon_->run();
    driver.join();
    return code;
  }
  /// The store's work goes on when the end waits for something.
  void end() {
    std::thread other([this, ending = ::gettid()] {
      (void)wait_until([&] { return sleeps(ending); });
      lock_.reset();
    });
    daemon_.reset();
    other.join();
  }

 private:
  TempFolder folder_;
  sigset_t signals_{};
  UniqueFd socket_;
  UniqueFd lock_;
  std::unique_ptr<Daemon> daemon_;
};

void fill(capnp::Data::Builder digest) {
  for (auto& byte : digest) byte = 7;
}

}  // namespace

TEST_CASE("a slave that ends while a blob begins to come leaves nothing of it") {
  LeftDaemon daemon;
  CHECK(daemon.run([](proto::Slave::Client slave, kj::WaitScope& scope) {
    auto store = slave.storeRequest().send().wait(scope).getStore();
    auto request = store.putRequest();
    fill(request.initDigest(32));
    request.setSize(100);
    request.send().detach([](kj::Exception&&) {});
  }) == 0);
  daemon.end();
  CHECK(BlobStore(daemon.store(), slave::test::kRoomy).statistics().bytes == 0);
}

TEST_CASE("a slave that ends while a home waits for its program ends the home's session first") {
  LeftDaemon daemon;
  CHECK(daemon.run([](proto::Slave::Client slave, kj::WaitScope& scope) {
    auto session = slave.openSessionRequest().send().wait(scope).getSession();
    auto request = session.openHomeRequest();
    auto file = request.initProgram().initFiles(1)[0];
    file.setName("python");
    file.setRole(proto::ProgramFile::Role::EXECUTABLE);
    fill(file.initDigest(32));
    request.send().detach([](kj::Exception&&) {});
  }) == 0);
  daemon.end();
}
