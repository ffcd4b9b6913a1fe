#include "common/rpc/socket_stream.h"

#include <capnp/message.h>
#include <capnp/rpc.capnp.h>
#include <capnp/serialize-async.h>
#include <capnp/serialize.h>
#include <sys/socket.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/base/check.h"

using knee::UniqueFd;
using knee::rpc::SocketStream;

namespace {

std::pair<UniqueFd, UniqueFd> socket_pair() {
  int ends[2];
  knee::check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// One end as a stream on a loop, the other as a plain socket.
struct Ends {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  std::pair<UniqueFd, UniqueFd> pair = socket_pair();
  UniqueFd plain = std::move(pair.second);
  kj::Own<SocketStream> stream = kj::heap<SocketStream>(io.unixEventPort, std::move(pair.first));

  void send(const std::string& text) {
    REQUIRE(::send(plain.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  /// What lies in the plain socket now.
  std::string received() {
    std::string text(1 << 20, 0);
    const auto size = ::recv(plain.get(), text.data(), text.size(), MSG_DONTWAIT);
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
  }
  std::string read(std::size_t least, std::size_t most) {
    std::string text(most, 0);
    text.resize(stream->tryRead(text.data(), least, most).wait(io.waitScope));
    return text;
  }
  kj::Promise<void> write(const std::string& text) {
    return stream->write(text.data(), text.size());
  }
  /// Whoever has made a call needs its answer no more; `cancels`: and it has not come.
  void write_finish(bool cancels = false) {
    capnp::MallocMessageBuilder message;
    auto finish = message.initRoot<capnp::rpc::Message>().initFinish();
    finish.setQuestionId(7);
    finish.setReleaseResultCaps(cancels);
    capnp::writeMessage(*stream, message).wait(io.waitScope);
    io.waitScope.poll();
  }
  void write_call() {
    capnp::MallocMessageBuilder message;
    message.initRoot<capnp::rpc::Message>().initCall();
    capnp::writeMessage(*stream, message).wait(io.waitScope);
    io.waitScope.poll();
  }
};

/// What a Finish takes on the wire.
constexpr std::size_t kFinish = 40;

/// Of the message that begins there.
capnp::rpc::Message::Which kind_of(const std::string& text) {
  std::vector<capnp::word> words(text.size() / sizeof(capnp::word));
  std::memcpy(words.data(), text.data(), words.size() * sizeof(capnp::word));
  capnp::FlatArrayMessageReader message(kj::arrayPtr(words.data(), words.size()));
  return message.getRoot<capnp::rpc::Message>().which();
}

std::string pattern(std::size_t size) {
  std::string text(size, 0);
  std::minstd_rand random(1);
  for (auto& c : text) c = static_cast<char>(random());
  return text;
}

}  // namespace

TEST_CASE("a reader gets what is there, in the pieces it asks for") {
  Ends ends;
  ends.send("hello world");
  CHECK(ends.read(2, 2) == "he");
  CHECK(ends.read(1, 4) == "llo ");
  CHECK(ends.read(5, 5) == "world");
}

TEST_CASE("a reader that waits is woken by what comes, each time") {
  Ends ends;
  for (int i = 0; i < 1000; ++i) {
    std::string text(3, 0);
    auto reading = ends.stream->tryRead(text.data(), 3, 3);
    CHECK_FALSE(reading.poll(ends.io.waitScope));
    ends.send("a");
    CHECK_FALSE(reading.poll(ends.io.waitScope));
    ends.send("bc");
    REQUIRE(reading.wait(ends.io.waitScope) == 3);
    REQUIRE(text == "abc");
  }
}

TEST_CASE("the end behind the last bytes is seen, whether it came before or after they were read") {
  Ends ends;
  SECTION("before") {
    ends.send("last");
    ends.plain.reset();
    CHECK(ends.read(4, 4) == "last");
    CHECK(ends.read(1, 1).empty());
  }
  SECTION("after") {
    ends.send("last");
    CHECK(ends.read(4, 4) == "last");
    std::string text(1, 0);
    auto reading = ends.stream->tryRead(text.data(), 1, 1);
    CHECK_FALSE(reading.poll(ends.io.waitScope));
    ends.plain.reset();
    CHECK(reading.wait(ends.io.waitScope) == 0);
  }
  SECTION("in the middle of what was asked for") {
    ends.send("la");
    ends.plain.reset();
    CHECK(ends.read(4, 4) == "la");
  }
}

TEST_CASE("small writes of one turn leave together, at its end, in order") {
  Ends ends;
  ends.write("one ").wait(ends.io.waitScope);
  auto second = ends.write("two ");
  auto third = ends.write("three");
  CHECK(ends.stream->has_unsent());
  second.wait(ends.io.waitScope);
  third.wait(ends.io.waitScope);
  ends.io.waitScope.poll();
  CHECK_FALSE(ends.stream->has_unsent());
  CHECK(ends.received() == "one two three");
}

TEST_CASE("large and small writes arrive whole and in order, also through a full socket") {
  Ends ends;
  std::string sent;
  std::string got;
  std::thread reading([&] {
    std::string piece(70'000, 0);
    for (;;) {
      const auto size = ::recv(ends.plain.get(), piece.data(), piece.size(), 0);
      if (size <= 0) return;
      got.append(piece, 0, static_cast<std::size_t>(size));
    }
  });
  for (const std::size_t size : {10, 100'000, 16 * 1024, 16 * 1024 + 1, 1, 5'000'000, 3, 70'000}) {
    const auto text = pattern(size);
    sent += text;
    ends.write(text).wait(ends.io.waitScope);
  }
  for (int i = 0; i < 1000; ++i) {
    const auto text = pattern(5000);
    sent += text;
    ends.write(text).wait(ends.io.waitScope);
  }
  ends.stream->shutdownWrite();
  while (ends.stream->has_unsent())
    ends.io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(ends.io.waitScope);
  ends.io.waitScope.poll();
  reading.join();
  CHECK(got.size() == sent.size());
  const bool equal = got == sent;
  CHECK(equal);
}

TEST_CASE("a write to a peer that is gone fails as a disconnection") {
  Ends ends;
  ends.plain.reset();
  const auto large = pattern(1'000'000);
  bool disconnected = false;
  KJ_IF_MAYBE (error, kj::runCatchingExceptions([&] { ends.write(large).wait(ends.io.waitScope); }))
    disconnected = error->getType() == kj::Exception::Type::DISCONNECTED;
  CHECK(disconnected);
}

TEST_CASE("a small write to a peer that is gone fails at the next one") {
  Ends ends;
  ends.plain.reset();
  ends.write("lost").wait(ends.io.waitScope);
  ends.io.waitScope.poll();
  CHECK_THROWS_AS(ends.write("more").wait(ends.io.waitScope), kj::Exception);
}

TEST_CASE("what was written last is sent when the stream is destroyed") {
  Ends ends;
  auto written = ends.write("goodbye");
  ends.stream = nullptr;
  CHECK(ends.received() == "goodbye");
}

TEST_CASE("the end of an answer waits for the next message and leaves before it") {
  Ends ends;
  ends.stream->hold_finishes(1 * kj::HOURS);
  ends.write_finish();
  CHECK(ends.received().empty());
  ends.write_call();
  const auto sent = ends.received();
  REQUIRE(sent.size() > kFinish);
  CHECK(kind_of(sent) == capnp::rpc::Message::FINISH);
  CHECK(kind_of(sent.substr(kFinish)) == capnp::rpc::Message::CALL);
}

TEST_CASE("the end of an answer leaves by itself in the end, each time") {
  Ends ends;
  const bool others_left_with_a_call = GENERATE(false, true);
  auto& timer = ends.io.provider->getTimer();
  for (int i = 0; i < 3; ++i) {
    if (others_left_with_a_call) {
      ends.write_finish();
      ends.write_call();
      REQUIRE_FALSE(ends.received().empty());
    }
    ends.write_finish();
    std::string sent;
    for (int tries = 0; sent.empty() && tries < 10'000; ++tries) {
      timer.afterDelay(1 * kj::MILLISECONDS).wait(ends.io.waitScope);
      sent = ends.received();
    }
    REQUIRE(sent.size() == kFinish);
    CHECK(kind_of(sent) == capnp::rpc::Message::FINISH);
  }
}

TEST_CASE("the end of an answer that has left with another message wakes nobody any more") {
  using std::chrono::steady_clock;
  constexpr auto kHeld = 50 * kj::MILLISECONDS;
  Ends ends;
  auto& timer = ends.io.provider->getTimer();
  ends.stream->hold_finishes(kHeld);
  ends.write_finish();
  ends.write_call();
  REQUIRE_FALSE(ends.received().empty());
  timer.afterDelay(kHeld / 2).wait(ends.io.waitScope);
  // What it would have been woken by takes the next one along, after half its time.
  const auto begin = steady_clock::now();
  ends.write_finish();
  for (int tries = 0; ends.received().empty() && tries < 10'000; ++tries)
    timer.afterDelay(1 * kj::MILLISECONDS).wait(ends.io.waitScope);
  CHECK(steady_clock::now() - begin > std::chrono::milliseconds(45));
}

TEST_CASE("the end of an answer leaves when the stream is destroyed") {
  Ends ends;
  ends.stream->hold_finishes(1 * kj::HOURS);
  ends.write_finish();
  ends.stream = nullptr;
  CHECK(ends.received().size() == kFinish);
}

TEST_CASE("what cancels a call leaves at once, and so does all that may not be held") {
  Ends ends;
  const bool cancels = GENERATE(true, false);
  ends.stream->hold_finishes(cancels ? 1 * kj::HOURS : 0 * kj::HOURS);
  ends.write_finish(cancels);
  CHECK(ends.received().size() == kFinish);
}

TEST_CASE("a Unix socket takes more than others before its writer has to wait") {
  const auto buffer = [](int socket) {
    int size = 0;
    socklen_t length = sizeof size;
    knee::check(::getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, &length), "getsockopt");
    return size;
  };
  Ends ends;
  const int others = buffer(ends.plain.get());
  const int ours = buffer(ends.stream->getFd().orDefault(-1));
  CHECK((ours > others || others >= 2 << 20));
}
