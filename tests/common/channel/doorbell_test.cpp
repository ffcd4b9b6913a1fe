#include "common/channel/doorbell.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <stdexcept>

using namespace knee;
using channel::Doorbell;
using Heard = channel::Doorbell::Heard;

namespace {

struct Pair {
  Pair() : Pair(Doorbell::make_pair()) {}
  explicit Pair(std::pair<UniqueFd, UniqueFd> ends)
      : slave(std::move(ends.first)), worker(std::move(ends.second)) {}
  Doorbell slave;
  Doorbell worker;
};

UniqueFd memfd(const std::string& content) {
  UniqueFd fd(::memfd_create("doorbell-test", MFD_CLOEXEC));
  REQUIRE(::write(fd.get(), content.data(), content.size()) ==
          static_cast<ssize_t>(content.size()));
  return fd;
}

std::string content(const UniqueFd& fd) {
  std::string text(100, '\0');
  const ssize_t size = ::pread(fd.get(), text.data(), text.size(), 0);
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return text;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator begin("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin, {}));
}

bool close_on_exec(int fd) {
  return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

}  // namespace

TEST_CASE("a quiet socket has nothing to say") {
  Pair pair;
  CHECK(pair.slave.listen() == Heard::nothing);
  CHECK(close_on_exec(pair.slave.fd()));
  CHECK(close_on_exec(pair.worker.fd()));
}

TEST_CASE("a value that was passed and is not wanted any more is closed on the other side") {
  Pair pair;
  REQUIRE(pair.slave.send_value(7, memfd("seven").get()));
  REQUIRE(pair.slave.send_value(8, memfd("eight").get()));
  pair.slave.forget_value(7);
  pair.slave.forget_value(9);  // never passed
  CHECK(pair.worker.listen() == Heard::something);
  CHECK_FALSE(pair.worker.take_value(7));
  CHECK(pair.worker.take_value(8));
}

TEST_CASE("bells are heard on the other side, all at once") {
  Pair pair;
  pair.slave.ring();
  pair.slave.ring();
  CHECK(pair.slave.listen() == Heard::nothing);
  CHECK(pair.worker.listen() == Heard::something);
  CHECK(pair.worker.listen() == Heard::nothing);
}

TEST_CASE("values arrive with their descriptors, in any order of asking, each once") {
  Pair pair;
  REQUIRE(pair.slave.send_value(7, memfd("seven").get()));
  pair.slave.ring();
  REQUIRE(pair.slave.send_value(0xfedcba9876543210, memfd("large").get()));
  CHECK(pair.worker.listen() == Heard::something);
  CHECK_FALSE(pair.worker.take_value(1));
  const auto large = pair.worker.take_value(0xfedcba9876543210);
  REQUIRE(large);
  CHECK(content(*large) == "large");
  CHECK(close_on_exec(large->get()));
  const auto seven = pair.worker.take_value(7);
  REQUIRE(seven);
  CHECK(content(*seven) == "seven");
  CHECK_FALSE(pair.worker.take_value(7));
}

TEST_CASE("the end of the other side is heard, after what it said before") {
  Pair pair;
  REQUIRE(pair.worker.send_value(3, memfd("last words").get()));
  pair.worker = Doorbell(UniqueFd());
  CHECK(pair.slave.listen() == Heard::closed);
  const auto value = pair.slave.take_value(3);
  REQUIRE(value);
  CHECK(content(*value) == "last words");
  CHECK(pair.slave.wait() == Heard::closed);
}

TEST_CASE("a side that ends with bells unheard does not take its last value along") {
  Pair pair;
  pair.slave.ring();  // never heard: the kernel then reports a reset before anything else
  REQUIRE(pair.worker.send_value(3, memfd("last words").get()));
  pair.worker = Doorbell(UniqueFd());
  CHECK(pair.slave.listen() == Heard::closed);
  CHECK(pair.slave.take_value(3));
}

TEST_CASE("ringing and passing at an end that is gone") {
  Pair pair;
  pair.worker = Doorbell(UniqueFd());
  pair.slave.ring();  // no SIGPIPE
  CHECK_THROWS_AS(pair.slave.send_value(1, memfd("x").get()), std::system_error);
}

TEST_CASE("a flood of bells neither blocks the one that rings nor is heard twice") {
  Pair pair;
  for (int i = 0; i < 100'000; ++i) pair.slave.ring();
  CHECK(pair.worker.listen() == Heard::something);
  CHECK(pair.worker.listen() == Heard::nothing);
}

TEST_CASE("a full socket refuses a value and takes it later") {
  Pair pair;
  const auto value = memfd("x");
  for (int i = 0; i < 100'000; ++i) pair.slave.ring();
  CHECK_FALSE(pair.slave.send_value(1, value.get()));
  CHECK(pair.worker.listen() == Heard::something);
  CHECK(pair.slave.send_value(1, value.get()));
}

TEST_CASE("a value passed again under its number replaces the first") {
  Pair pair;
  REQUIRE(pair.slave.send_value(1, memfd("old").get()));
  REQUIRE(pair.slave.send_value(1, memfd("new").get()));
  CHECK(pair.worker.listen() == Heard::something);
  CHECK(content(*pair.worker.take_value(1)) == "new");
}

TEST_CASE("who floods with values that nobody takes has to wait before it costs all descriptors") {
  Pair pair;
  const auto value = memfd("x");
  // Ours and those in flight; some systems allow a process no more than 1024 by default.
  const auto before = open_descriptors();
  std::uint64_t sent = 0;
  const auto send_one = [&] { return pair.worker.send_value(sent, value.get()) && ++sent; };
  while (send_one() || (pair.slave.listen() == Heard::something && send_one())) {
  }
  CHECK(sent < 1000);
  CHECK(open_descriptors() <= before + 1000);
  // It goes on as they are taken, and none is lost.
  for (std::uint64_t id = 0; id < sent; ++id) {
    if (id % 100 == 0) pair.slave.listen();
    REQUIRE(pair.slave.take_value(id));
  }
  CHECK(send_one());
}

TEST_CASE("descriptors that came with anything but a value are closed") {
  Pair pair;
  const auto before = open_descriptors();
  {
    const auto value = memfd("x");
    char byte = 0;
    iovec piece{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(4 * sizeof(int));
    const int fds[4] = {value.get(), value.get(), value.get(), value.get()};
    std::memcpy(CMSG_DATA(header), fds, sizeof fds);
    REQUIRE(::sendmsg(pair.worker.fd(), &message, 0) == 1);
  }
  CHECK(pair.slave.listen() == Heard::something);
  CHECK(open_descriptors() == before);
}

TEST_CASE("an empty message is nonsense and not taken for the end") {
  Pair pair;
  REQUIRE(::send(pair.worker.fd(), "", 0, 0) == 0);
  CHECK_THROWS_AS(pair.slave.listen(), std::runtime_error);
}

TEST_CASE("the setup carries any bytes and one descriptor") {
  Pair pair;
  const std::string text(100'000, '\x80');
  pair.slave.send_setup(std::as_bytes(std::span(text)), memfd("page").get());
  auto [message, fd] = pair.worker.receive_setup();
  CHECK(message == text);
  CHECK(content(fd) == "page");
}

TEST_CASE("a setup that is too long is refused by its sender") {
  Pair pair;
  const std::string text(200'000, 'x');
  CHECK_THROWS_WITH(pair.slave.send_setup(std::as_bytes(std::span(text)), memfd("").get()),
                    Catch::Contains("too long"));
}

TEST_CASE("a worker whose slave is gone before the setup is told so") {
  Pair pair;
  pair.slave = Doorbell(UniqueFd());
  CHECK_THROWS_WITH(pair.worker.receive_setup(), Catch::Contains("slave is gone"));
}
