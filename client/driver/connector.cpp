#include "connector.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <signal.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <knee/error.h>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "client/driver/program_places.h"
#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "common/rpc/listener.h"
#include "common/rpc/socket_stream.h"
#include "common/rpc/rpc_loop.h"

extern char** environ;

namespace knee::driver {
namespace {

std::string user_name() {
  if (const char* user = std::getenv("USER"); user && *user) return user;
  return "uid" + std::to_string(::getuid());
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string program_name() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).filename();
}

/// A driver offers nothing to a slave that it has dialed.
class ClosedDoor final : public proto::Door::Server {};

class Dialer final : public Connector {
 public:
  Dialer(rpc::Address address, kj::AsyncIoContext& io) : address_(std::move(address)), io_(io) {}

  std::string target() const override { return address_.text(); }

  kj::Promise<Connected> connect() override {
    return rpc::connect(address_, io_)
        .then([this](kj::Own<kj::AsyncIoStream> stream) {
          return rpc::Connection::open(kj::mv(stream), rpc::Connection::Side::dialed,
                                       kj::heap<ClosedDoor>(), io_.provider->getTimer());
        })
        .then([this](kj::Own<rpc::Connection> connection) {
          return greet(kj::mv(connection), io_.provider->getTimer());
        });
  }

 private:
  rpc::Address address_;
  kj::AsyncIoContext& io_;
};

/// Which processors the calling thread may use.
class Affinity {
 public:
  Affinity() : known_(::sched_getaffinity(0, sizeof set_, &set_) == 0) {}
  void apply() const {
    if (known_) (void)::sched_setaffinity(0, sizeof set_, &set_);
  }

 private:
  cpu_set_t set_{};
  bool known_;
};

class LocalSlave final : public Connector {
 public:
  LocalSlave(unsigned slots, kj::AsyncIoContext& io)
      : executable_(find_knee_slave()), slots_(slots), io_(io) {}
  ~LocalSlave() noexcept(false) override { reap(); }

  std::string target() const override { return "the local slave"; }

  kj::Promise<Connected> connect() override {
    return last_one_ended(std::chrono::steady_clock::now() + kPatience)
        .then([this] {
          auto stream = kj::heap<rpc::SocketStream>(io_.unixEventPort, start());
          return rpc::Connection::open(kj::mv(stream), rpc::Connection::Side::dialed,
                                       kj::heap<ClosedDoor>(), io_.provider->getTimer());
        })
        .then([this](kj::Own<rpc::Connection> connection) {
          return greet(kj::mv(connection), io_.provider->getTimer());
        });
  }

 private:
  /// Its socket is closed, so it ends by itself, and at once, unless somebody has stopped it.
  static constexpr auto kPatience = std::chrono::seconds(2);
  using Time = std::chrono::steady_clock::time_point;

  UniqueFd start();
  /// Whether the slave that was started last has ended. After `give_up` it is killed.
  bool has_ended(Time give_up);
  kj::Promise<void> last_one_ended(Time give_up);
  void reap();

  std::string executable_;
  unsigned slots_;
  /// The slave counts its slots by what it inherits, and whoever runs the loop may start it.
  Affinity affinity_;
  kj::AsyncIoContext& io_;
  pid_t pid_ = 0;
};

UniqueFd LocalSlave::start() {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "cannot make a socket pair");
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  constexpr int kInherited = 3;

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kInherited);
  posix_spawn_file_actions_addclosefrom_np(&actions, kInherited + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // A group of its own: Ctrl-C is for the driver, whose end it notices.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

  std::vector<std::string> words{executable_, "--inherited", std::to_string(kInherited), "--name",
                                 "local"};
  if (slots_ != 0) words.insert(words.end(), {"--slots", std::to_string(slots_)});
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const Affinity of_this_thread;
  affinity_.apply();
  const int error =
      ::posix_spawn(&pid_, executable_.c_str(), &actions, &attributes, argv.data(), environ);
  of_this_thread.apply();
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    pid_ = 0;
    throw_errno("cannot start the local slave '" + executable_ + "'", error);
  }
  return ours;
}

bool LocalSlave::has_ended(Time give_up) {
  if (pid_ != 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > give_up) ::kill(pid_, SIGKILL);
    return false;
  }
  pid_ = 0;
  return true;
}

kj::Promise<void> LocalSlave::last_one_ended(Time give_up) {
  if (has_ended(give_up)) return kj::READY_NOW;
  return io_.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).then([this, give_up] {
    return last_one_ended(give_up);
  });
}

/// At the driver's end, when nothing else is left for the loop to do.
void LocalSlave::reap() {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!has_ended(give_up)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

std::vector<std::string> cpu_flags_of(proto::Hello::Reader hello) {
  std::vector<std::string> flags;
  for (const auto flag : hello.getCpuFlags()) flags.emplace_back(flag.cStr(), flag.size());
  return flags;
}

kj::Own<Connector> dial(rpc::Address address, kj::AsyncIoContext& io) {
  return kj::heap<Dialer>(std::move(address), io);
}

kj::Own<Connector> local_slave(unsigned slots, kj::AsyncIoContext& io) {
  return kj::heap<LocalSlave>(slots, io);
}

kj::Promise<Connected> JoinedSlave::connect() {
  here_ = false;
  KJ_IF_MAYBE (connected, early_) {
    here_ = true;
    Connected first = kj::mv(*connected);
    early_ = nullptr;
    return kj::mv(first);
  }
  auto paf = kj::newPromiseAndFulfiller<Connected>();
  waiting_ = kj::mv(paf.fulfiller);
  return kj::mv(paf.promise);
}

bool JoinedSlave::offer(Connected connected) {
  if (here_ || early_ != nullptr) return false;
  KJ_IF_MAYBE (waiting, waiting_) {
    (*waiting)->fulfill(kj::mv(connected));
    waiting_ = nullptr;
    here_ = true;
  } else {
    early_ = kj::mv(connected);
  }
  return true;
}

std::string find_knee_slave() {
#ifdef KNEE_SLAVE_BUILT
  const char* built = KNEE_SLAVE_BUILT;
#else
  const char* built = nullptr;
#endif
  std::string looked;
  auto found = find_program(
      {"knee-slave", "KNEE_SLAVE", KNEE_SLAVE_FROM_LIBRARY, KNEE_SLAVE_INSTALLED, built}, looked);
  if (!found.empty()) return found;
  throw Error(
      Error::Kind::setup,
      "cannot find knee-slave to use this machine's cores: install Knee, or set KNEE_SLAVE to "
      "its path. Looked for:" +
          looked);
}

void fill_driver_hello(proto::Hello::Builder hello) {
  rpc::describe_build(hello);
  const std::string who = user_name() + "@" + host_name();
  hello.setRole(proto::Hello::Role::DRIVER);
  hello.setName(who + " " + program_name());
  hello.setIdentity(who);
}

kj::Promise<Connected> greet(kj::Own<rpc::Connection> connection, kj::Timer& timer) {
  auto request = connection->door().helloRequest();
  fill_driver_hello(request.initHello());
  using Answer = capnp::Response<proto::Door::HelloResults>;
  kj::Promise<Answer> silence = timer.afterDelay(rpc::kGreetingDeadline).then([]() -> Answer {
    KJ_FAIL_REQUIRE("the other side has not answered hello for 10 s");
  });
  auto take = [connection = kj::mv(connection)](Answer answer) mutable {
    const auto theirs = answer.getHello();
    if (theirs.getRefusal().size() != 0) throw std::runtime_error(theirs.getRefusal().cStr());
    const std::string refusal = rpc::refusal_of(theirs);
    if (!refusal.empty()) throw std::runtime_error(refusal);
    if (!answer.hasSlave())
      throw std::runtime_error("a driver that waits for slaves listens there, not a slave");
    auto disconnected = connection->on_disconnect();
    return Connected{answer.getSlave(), theirs.getName().cStr(), kj::mv(connection),
                     kj::mv(disconnected), cpu_flags_of(theirs)};
  };
  return kj::Promise<Answer>(request.send()).exclusiveJoin(kj::mv(silence)).then(kj::mv(take));
}

}  // namespace knee::driver
