#include "common/rpc/connection.h"

#include <kj/timer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "common/rpc/rpc_loop.h"

using namespace knee;
using rpc::Connection;
using Side = rpc::Connection::Side;

namespace {

/// Answers hello with a name of its own.
class NamedDoor final : public proto::Door::Server {
 public:
  explicit NamedDoor(std::string name) : name_(std::move(name)) {}
  kj::Promise<void> hello(HelloContext context) override {
    context.getResults().initHello().setName(name_);
    return kj::READY_NOW;
  }

 private:
  std::string name_;
};

/// A door that never answers.
class ShutDoor final : public proto::Door::Server {
 public:
  kj::Promise<void> hello(HelloContext) override { return kj::NEVER_DONE; }
};

struct Loop {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::TimerImpl timer{kj::origin<kj::TimePoint>()};
  kj::TwoWayPipe pipe = io.provider->newTwoWayPipe();
  kj::WaitScope& wait = io.waitScope;

  kj::Promise<kj::Own<Connection>> open(int end, Side side, const char* name) {
    return Connection::open(kj::mv(pipe.ends[end]), side, kj::heap<NamedDoor>(name), timer);
  }
  void say(const void* bytes, std::size_t size) { pipe.ends[1]->write(bytes, size).wait(wait); }
};

/// The reason a promise is rejected with; "(resolved)" if it is not.
template <class T>
std::string reason(kj::Promise<T> promise, kj::WaitScope& wait) {
  return promise
      .then([](auto&&) { return kj::str("(resolved)"); },
            [](kj::Exception&& error) { return kj::str(error.getDescription()); })
      .wait(wait)
      .cStr();
}

std::string hello(Connection& connection, kj::WaitScope& wait) {
  return connection.door().helloRequest().send().wait(wait).getHello().getName().cStr();
}

const std::string kPreface("KNEE\0\0\0\1", 8);

}  // namespace

TEST_CASE("two sides that exchange the preface reach each other's door") {
  Loop loop;
  auto dialing = loop.open(0, Side::dialed, "dialer");
  auto accepting = loop.open(1, Side::accepted, "listener");
  auto dialed = dialing.wait(loop.wait);
  auto accepted = accepting.wait(loop.wait);
  CHECK(hello(*dialed, loop.wait) == "listener");
  CHECK(hello(*accepted, loop.wait) == "dialer");
}

TEST_CASE("the preface is the eight bytes of the specification") {
  Loop loop;
  auto opening = loop.open(0, Side::dialed, "x");
  char bytes[8];
  loop.pipe.ends[1]->read(bytes, 8).wait(loop.wait);
  CHECK(std::string(bytes, 8) == kPreface);
}

TEST_CASE("a preface may come in pieces") {
  Loop loop;
  auto opening = loop.open(0, Side::accepted, "x");
  loop.say(kPreface.data(), 3);
  CHECK_FALSE(opening.poll(loop.wait));
  loop.say(kPreface.data() + 3, 5);
  CHECK(opening.wait(loop.wait).get() != nullptr);
}

TEST_CASE("who speaks something else is told apart, with what it said") {
  Loop loop;
  const auto [bytes, shown] = GENERATE(table<std::string, std::string>({
      {"GET / HTTP/1.1\r\n", "GET / HT"},
      {std::string("\x16\x03\x01\x02\x00\x01\x00\x01", 8), "........"},
      {std::string("KNEE\0\0\0\2", 8), "KNEE...."},
  }));
  auto opening = loop.open(0, Side::accepted, "x");
  loop.say(bytes.data(), bytes.size());
  CHECK_THAT(reason(kj::mv(opening), loop.wait),
             Catch::Contains("does not speak Knee") && Catch::Contains(shown));
}

TEST_CASE("who closes without a word, or within the preface, is told apart") {
  Loop loop;
  auto opening = loop.open(0, Side::accepted, "x");
  const bool began = GENERATE(false, true);
  if (began) loop.say("KNE", 3);
  char heard[8];
  loop.pipe.ends[1]->read(heard, 8).wait(loop.wait);  // or the kernel calls the end a reset
  loop.pipe.ends[1] = nullptr;
  CHECK_THAT(
      reason(kj::mv(opening), loop.wait),
      Catch::Contains(began ? "does not speak Knee" : "closed the connection without a word"));
}

TEST_CASE("who says nothing for ten seconds is given up, in words") {
  Loop loop;
  auto opening = loop.open(0, Side::accepted, "x");
  loop.timer.advanceTo(kj::origin<kj::TimePoint>() + 9'900 * kj::MILLISECONDS);
  CHECK_FALSE(opening.poll(loop.wait));
  loop.timer.advanceTo(kj::origin<kj::TimePoint>() + 10'100 * kj::MILLISECONDS);
  CHECK_THAT(reason(kj::mv(opening), loop.wait), Catch::Contains("said nothing for 10 s"));
}

TEST_CASE("who says the preface and no hello for ten seconds is given up, in words") {
  Loop loop;
  auto opening = loop.open(0, Side::accepted, "x");
  loop.say(kPreface.data(), kPreface.size());
  auto connection = opening.wait(loop.wait);
  const auto greeted = std::make_shared<bool>(GENERATE(false, true));
  auto over = connection->until_end(greeted, loop.timer);
  loop.timer.advanceTo(kj::origin<kj::TimePoint>() + 9'900 * kj::MILLISECONDS);
  CHECK_FALSE(over.poll(loop.wait));
  loop.timer.advanceTo(kj::origin<kj::TimePoint>() + 10'100 * kj::MILLISECONDS);
  if (*greeted) {
    CHECK_FALSE(over.poll(loop.wait));
    loop.pipe.ends[1] = nullptr;
    over.wait(loop.wait);
  } else {
    CHECK_THAT(reason(over.then([] { return 0; }), loop.wait),
               Catch::Contains("said no hello for 10 s"));
  }
}

TEST_CASE("an opening connection that is dropped leaves the other side with an end") {
  Loop loop;
  { auto opening = loop.open(0, Side::accepted, "x"); }
  char bytes[9];
  CHECK(loop.pipe.ends[1]->tryRead(bytes, 9, 9).wait(loop.wait) <= 8);
}

TEST_CASE("a connection's end shows on the other side and breaks its calls") {
  Loop loop;
  auto opening =
      Connection::open(kj::mv(loop.pipe.ends[0]), Side::accepted, kj::heap<ShutDoor>(), loop.timer);
  auto dialed = loop.open(1, Side::dialed, "x").wait(loop.wait);
  auto accepted = opening.wait(loop.wait);
  auto call = dialed->door().helloRequest().send();
  auto end = dialed->on_disconnect();
  CHECK_FALSE(call.poll(loop.wait));
  CHECK_FALSE(end.poll(loop.wait));
  accepted = nullptr;
  end.wait(loop.wait);
  try {
    call.wait(loop.wait);
    FAIL("the call came back");
  } catch (const kj::Exception& error) {
    CHECK(error.getType() == kj::Exception::Type::DISCONNECTED);
  }
}

TEST_CASE("garbage after the preface ends the connection and nothing else") {
  Loop loop;
  auto opening = loop.open(0, Side::accepted, "x");
  loop.say(kPreface.data(), kPreface.size());
  auto connection = opening.wait(loop.wait);
  const std::string garbage =
      GENERATE(std::string(64, '\xff'), std::string(64, 'A'),
               std::string("\0\0\0\0\1\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16));
  loop.say(garbage.data(), garbage.size());
  loop.pipe.ends[1]->shutdownWrite();
  connection->on_disconnect().wait(loop.wait);
  // Whatever was made of it, destruction is clean.
  connection = nullptr;
}

TEST_CASE("a message that announces more than we take is not waited for") {
  Loop loop;
  auto opening = loop.open(0, Side::accepted, "x");
  loop.say(kPreface.data(), kPreface.size());
  auto connection = opening.wait(loop.wait);
  const std::uint32_t header[2] = {0, 0x10000000};  // one segment of 2 GiB
  loop.say(header, sizeof header);
  connection->on_disconnect().wait(loop.wait);
}

TEST_CASE("a build describes itself and accepts itself") {
  capnp::MallocMessageBuilder message;
  auto hello = message.initRoot<proto::Hello>();
  rpc::describe_build(hello);
  CHECK(hello.getProtocol() == proto::PROTOCOL_VERSION);
  CHECK(hello.getVersion().size() != 0);
  CHECK(hello.getArchitecture().size() != 0);
  CHECK(rpc::refusal_of(hello.asReader()).empty());
}

TEST_CASE("another protocol is refused with both versions named") {
  capnp::MallocMessageBuilder message;
  auto hello = message.initRoot<proto::Hello>();
  hello.setProtocol(4711);
  hello.setVersion("9.8");
  CHECK_THAT(rpc::refusal_of(hello.asReader()),
             Catch::Contains("4711") && Catch::Contains("9.8") &&
                 Catch::Contains("protocol " + std::to_string(proto::PROTOCOL_VERSION)) &&
                 Catch::Contains("use the same Knee version"));
}
