#include "common/rpc/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <stdexcept>
#include <vector>

#include "common/base/unique_fd.h"

using namespace knee;
using rpc::Address;
using rpc::Listener;

namespace {

class TempFolder {
 public:
  TempFolder() {
    std::string name = std::filesystem::temp_directory_path() / "knee-rpc-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Address socket_at(const std::string& path) {
  return Address::parse("unix:" + path);
}

mode_t mode(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

template <class T>
std::string reason(kj::Promise<T> promise, kj::WaitScope& wait) {
  return promise
      .then([](auto&&) { return kj::str("(resolved)"); },
            [](kj::Exception&& error) { return kj::str(error.getDescription()); })
      .wait(wait)
      .cStr();
}

/// Binds a socket file with plain system calls; listening or not.
UniqueFd bind_at(const std::string& path, bool listening) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  if (listening) REQUIRE(::listen(fd.get(), 1) == 0);
  return fd;
}

int option_of(kj::AsyncIoStream& stream, int level, int name) {
  int value = 0;
  kj::uint size = sizeof value;
  stream.getsockopt(level, name, &value, &size);
  return value;
}

/// Sends a byte from one end and receives it at the other.
bool connected(kj::AsyncIoStream& one, kj::AsyncIoStream& other, kj::WaitScope& wait) {
  char byte = 0;
  one.write("x", 1).wait(wait);
  other.read(&byte, 1).wait(wait);
  return byte == 'x';
}

/// Whether who dials this reaches the listener.
bool reaches(Listener& listener, const Address& dialed, kj::AsyncIoContext& io,
             const rpc::Lookup& lookup = rpc::look_up) {
  auto accepting = listener.accept();
  auto there = rpc::connect(dialed, io, 10 * kj::SECONDS, lookup).wait(io.waitScope);
  auto here = accepting.wait(io.waitScope);
  return connected(*there, *here, io.waitScope);
}

/// Every host has these addresses.
rpc::Lookup always(std::vector<std::string> numbers) {
  return [numbers = std::move(numbers)](const std::string&) { return numbers; };
}

Address named(const std::string& host, const Listener& listener) {
  Address address = listener.address();
  address.host = host;
  return address;
}

}  // namespace

TEST_CASE("a Unix socket is private, in a private folder, and removed at the end") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  const auto path = folder.file("a/b/slave.sock");
  {
    const mode_t before = ::umask(0);
    auto listener = Listener::open(socket_at(path), io).wait(io.waitScope);
    ::umask(before);
    CHECK(mode(path) == 0600);
    CHECK(mode(folder.file("a")) == 0700);
    CHECK(mode(folder.file("a/b")) == 0700);
    CHECK(listener->address() == socket_at(path));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a connection over a Unix socket") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  const auto address = socket_at(folder.file("s"));
  auto listener = Listener::open(address, io).wait(io.waitScope);
  auto accepting = listener->accept();
  auto dialed = rpc::connect(address, io).wait(io.waitScope);
  auto accepted = accepting.wait(io.waitScope);
  CHECK(connected(*dialed, *accepted, io.waitScope));
}

TEST_CASE("the socket file of a dead process is replaced") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  const auto path = folder.file("s");
  bind_at(path, true).reset();
  REQUIRE(std::filesystem::is_socket(path));
  auto listener = Listener::open(socket_at(path), io).wait(io.waitScope);
  CHECK(rpc::connect(socket_at(path), io).wait(io.waitScope).get() != nullptr);
}

TEST_CASE("a socket somebody listens on is refused and stays theirs") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  const auto path = folder.file("s");
  const auto theirs = bind_at(path, true);
  CHECK_THAT(reason(Listener::open(socket_at(path), io), io.waitScope),
             Catch::Contains("unix:" + path) && Catch::Contains("another process does"));
  CHECK(std::filesystem::is_socket(path));
}

TEST_CASE("a socket whose owner is about to end is waited for") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  const auto path = folder.file("s");
  auto before = std::make_unique<rpc::SocketFile>(path);
  auto opening = Listener::open(socket_at(path), io);
  CHECK_FALSE(opening.poll(io.waitScope));
  before.reset();
  const auto listener = opening.wait(io.waitScope);
  CHECK(std::filesystem::is_socket(path));
}

TEST_CASE("a file that is no socket is not replaced") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  const auto path = folder.file("notes.txt");
  std::ofstream(path) << "precious";
  CHECK_THAT(reason(Listener::open(socket_at(path), io), io.waitScope),
             Catch::Contains("cannot listen on unix:" + path) &&
                 Catch::Contains("Address already in use"));
  CHECK(std::filesystem::file_size(path) == 8);
}

TEST_CASE("a path too long for a socket is refused in words") {
  auto io = kj::setupAsyncIo();
  CHECK_THAT(reason(Listener::open(socket_at("/tmp/" + std::string(103, 'x')), io), io.waitScope),
             Catch::Contains("too long (107 bytes at most)"));
}

TEST_CASE("a folder that cannot be made is named") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  std::ofstream(folder.file("plain")) << "x";
  CHECK_THAT(reason(Listener::open(socket_at(folder.file("plain/s")), io), io.waitScope),
             Catch::Contains(folder.file("plain")));
}

TEST_CASE("TCP: the real port is told, and a taken one refused by name") {
  auto io = kj::setupAsyncIo();
  auto listener = Listener::open(Address::parse("127.0.0.1:0"), io).wait(io.waitScope);
  REQUIRE(listener->address().port != 0);
  auto accepting = listener->accept();
  auto dialed = rpc::connect(listener->address(), io).wait(io.waitScope);
  auto accepted = accepting.wait(io.waitScope);
  CHECK(connected(*accepted, *dialed, io.waitScope));
  // A dead link is noticed from both sides within 20 s, whether something is on its way or not.
  for (auto* stream : {dialed.get(), accepted.get()}) {
    CHECK(option_of(*stream, IPPROTO_TCP, TCP_NODELAY) == 1);
    CHECK(option_of(*stream, IPPROTO_TCP, TCP_USER_TIMEOUT) == 20'000);
    REQUIRE(option_of(*stream, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option_of(*stream, IPPROTO_TCP, TCP_KEEPIDLE) +
              option_of(*stream, IPPROTO_TCP, TCP_KEEPINTVL) *
                  option_of(*stream, IPPROTO_TCP, TCP_KEEPCNT) <=
          20);
  }
  CHECK_THAT(reason(Listener::open(listener->address(), io), io.waitScope),
             Catch::Contains("cannot listen") && Catch::Contains(listener->address().text()));
}

TEST_CASE("a refused connection says why") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  Address closed = Address::parse("127.0.0.1:0");
  { closed.port = Listener::open(closed, io).wait(io.waitScope)->address().port; }
  CHECK_THAT(reason(rpc::connect(closed, io), io.waitScope), Catch::Contains("refused"));
  const auto absent = socket_at(folder.file("absent"));
  CHECK_THAT(reason(rpc::connect(absent, io), io.waitScope), Catch::Contains("No such file"));
}

TEST_CASE("a connection that takes too long is given up") {
  TempFolder folder;
  auto io = kj::setupAsyncIo();
  const auto path = folder.file("full");
  // Nobody accepts, and the queue of one is full: the next connect waits.
  const auto theirs = bind_at(path, true);
  std::vector<kj::Own<kj::AsyncIoStream>> queued;
  std::string why;
  for (int i = 0; i < 10 && why.empty(); ++i) {
    rpc::connect(socket_at(path), io, 50 * kj::MILLISECONDS)
        .then([&](kj::Own<kj::AsyncIoStream> stream) { queued.push_back(kj::mv(stream)); },
              [&](kj::Exception&& error) { why = error.getDescription().cStr(); })
        .wait(io.waitScope);
  }
  CHECK_FALSE(why.empty());
}

TEST_CASE("a host may be given by its name, to listen and to dial") {
  auto io = kj::setupAsyncIo();
  auto listener = Listener::open(Address::parse("localhost:0"), io).wait(io.waitScope);
  CHECK_THAT(listener->address().host, Catch::Equals("127.0.0.1") || Catch::Equals("::1"));
  CHECK(reaches(*listener, named("localhost", *listener), io));
  CHECK(reaches(*listener, listener->address(), io));
}

TEST_CASE("who listens without a host is reached by any of the machine's addresses") {
  auto io = kj::setupAsyncIo();
  auto listener = Listener::open(Address::parse(":0"), io).wait(io.waitScope);
  CHECK(reaches(*listener, named("127.0.0.1", *listener), io));
  CHECK(reaches(*listener, named("localhost", *listener), io));
  CHECK(reaches(*listener, named("", *listener), io));
}

TEST_CASE("of a host's addresses the first is listened on, which is told") {
  auto io = kj::setupAsyncIo();
  auto listener = Listener::open(Address::parse("gandalf:0"), io, always({"127.0.0.1", "::1"}))
                      .wait(io.waitScope);
  CHECK(listener->address().host == "127.0.0.1");
  CHECK(reaches(*listener, listener->address(), io));
}

TEST_CASE("a host's addresses are dialed in turn until one answers") {
  auto io = kj::setupAsyncIo();
  auto listener = Listener::open(Address::parse("127.0.0.1:0"), io).wait(io.waitScope);
  const Address gandalf = named("gandalf", *listener);
  CHECK(reaches(*listener, gandalf, io, always({"::1", "127.0.0.1"})));
  Address closed = gandalf;
  {
    closed.port =
        Listener::open(Address::parse("127.0.0.1:0"), io).wait(io.waitScope)->address().port;
  }
  CHECK_THAT(reason(rpc::connect(closed, io, 10 * kj::SECONDS, always({"::1", "127.0.0.1"})),
                    io.waitScope),
             Catch::Contains("refused"));
}

TEST_CASE("the reason why a name is not found is told, to who listens and who dials") {
  auto io = kj::setupAsyncIo();
  const auto gandalf = Address::parse("gandalf:1234");
  const rpc::Lookup fails = [](const std::string& host) -> std::vector<std::string> {
    throw std::runtime_error("there is no '" + host + "' in Moria");
  };
  CHECK_THAT(reason(rpc::connect(gandalf, io, 10 * kj::SECONDS, fails), io.waitScope),
             Catch::Contains("there is no 'gandalf' in Moria"));
  CHECK_THAT(reason(Listener::open(gandalf, io, fails), io.waitScope),
             Catch::Contains("cannot listen on gandalf:1234") &&
                 Catch::Contains("there is no 'gandalf' in Moria"));
}

TEST_CASE("a look-up that hangs is given up in time, and neither the loop nor its end waits") {
  std::promise<void> go;
  const auto ended = std::make_shared<std::promise<void>>();
  {
    auto io = kj::setupAsyncIo();
    // Ends with the last thread that looks up.
    const std::shared_ptr<void> last(nullptr, [ended](void*) { ended->set_value(); });
    const rpc::Lookup hangs = [last, gone = go.get_future().share()](const std::string&) {
      gone.wait();
      return std::vector<std::string>{"127.0.0.1"};
    };
    const auto gandalf = Address::parse("gandalf");
    auto late = rpc::connect(gandalf, io, 50 * kj::MILLISECONDS, hangs);
    auto dropped = rpc::connect(gandalf, io, 1 * kj::HOURS, hangs);
    auto listener = Listener::open(Address::parse("127.0.0.1:0"), io).wait(io.waitScope);
    CHECK(reaches(*listener, listener->address(), io));
    CHECK_THAT(reason(kj::mv(late), io.waitScope),
               Catch::Contains("cannot find the host 'gandalf'") && Catch::Contains("in time"));
    CHECK_FALSE(dropped.poll(io.waitScope));
  }
  go.set_value();
  CHECK(ended->get_future().wait_for(std::chrono::seconds(30)) == std::future_status::ready);
}

TEST_CASE("another user's socket is not trusted, nor is another user let in") {
  if (::getuid() != 0) {
    WARN("skipped: only root can be two users");
    return;
  }
  TempFolder folder;
  REQUIRE(::chmod(folder.path().c_str(), 01777) == 0);
  auto io = kj::setupAsyncIo();
  const auto theirs = folder.file("theirs");
  const auto ours = folder.file("ours");
  auto listener = Listener::open(socket_at(ours), io).wait(io.waitScope);
  REQUIRE(::chmod(ours.c_str(), 0777) == 0);  // as if the file's mode protected nothing

  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t stranger = ::fork();
  if (stranger == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(1);
    UniqueFd listening(::socket(AF_UNIX, SOCK_STREAM, 0));
    UniqueFd dialing(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, theirs.c_str());
    if (::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listening.get(), 5) != 0)
      ::_exit(2);
    std::strcpy(address.sun_path, ours.c_str());
    if (::connect(dialing.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      ::_exit(3);
    (void)!::write(ready[1], "x", 1);
    char byte = 0;
    // The end: they hung up on us.
    if (::read(dialing.get(), &byte, 1) != 0) ::_exit(4);
    ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK_THAT(reason(rpc::connect(socket_at(theirs), io), io.waitScope),
             Catch::Contains("another user"));
  // The stranger waits first in our queue; who is let in is the second.
  auto accepting = listener->accept();
  auto dialed = rpc::connect(socket_at(ours), io).wait(io.waitScope);
  auto accepted = accepting.wait(io.waitScope);
  CHECK(connected(*dialed, *accepted, io.waitScope));
  ::kill(stranger, SIGKILL);
  ::waitpid(stranger, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}
