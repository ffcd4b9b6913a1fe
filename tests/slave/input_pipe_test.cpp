#include "slave/input_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <optional>
#include <string>

using knee::slave::InputPipe;
using Answer = knee::slave::InputPipe::Answer;

namespace {

/// More than a pipe takes.
const std::string kLong(300'000, 'x');

kj::Array<const kj::byte> bytes_of(const std::string& text) {
  return kj::heapArray(reinterpret_cast<const kj::byte*>(text.data()), text.size());
}

struct Fixture {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  std::optional<InputPipe> pipe{std::in_place, io.unixEventPort};

  kj::Promise<Answer> write(const std::string& text, bool end = false) {
    return pipe->write(bytes_of(text), end);
  }

  /// What the pipe holds, up to `most`; empty: it has ended.
  std::string read(std::size_t most = 1'000'000) const {
    std::string text(most, '\0');
    const auto size = ::read(pipe->reading_end(), text.data(), text.size());
    REQUIRE(size >= 0);
    text.resize(static_cast<std::size_t>(size));
    return text;
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "input is taken at once while the pipe has room, in order") {
  CHECK(write("one ").wait(io.waitScope) == Answer::taken);
  CHECK(write("two").wait(io.waitScope) == Answer::taken);
  CHECK(write("").wait(io.waitScope) == Answer::taken);
  CHECK(read() == "one two");
}

TEST_CASE_METHOD(Fixture,
                 "the end of input is seen after the last bytes, and nothing more is taken") {
  CHECK(write("last", true).wait(io.waitScope) == Answer::taken);
  CHECK(read() == "last");
  CHECK(read().empty());
  CHECK(write("too late").wait(io.waitScope) == Answer::closed);
}

TEST_CASE_METHOD(Fixture, "an end without bytes ends the input") {
  CHECK(write("", true).wait(io.waitScope) == Answer::taken);
  CHECK(read().empty());
}

TEST_CASE_METHOD(Fixture, "a write that does not fit is answered when all of it was taken") {
  auto written = write(kLong, true);
  std::string all;
  while (!written.poll(io.waitScope)) all += read();
  CHECK(written.wait(io.waitScope) == Answer::taken);
  for (std::string more = read(); !more.empty(); more = read()) all += more;
  CHECK(all == kLong);
}

TEST_CASE_METHOD(Fixture, "a second write while one waits is refused, and disturbs nothing") {
  auto written = write(kLong, true);
  CHECK_FALSE(written.poll(io.waitScope));
  CHECK_THROWS_AS(write("y").wait(io.waitScope), kj::Exception);
  std::string all;
  while (!written.poll(io.waitScope)) all += read();
  for (std::string more = read(); !more.empty(); more = read()) all += more;
  CHECK(all == kLong);
}

TEST_CASE_METHOD(Fixture, "a reader that is gone is told, and costs no SIGPIPE") {
  pipe->close_reading_end();
  CHECK(write("nobody reads").wait(io.waitScope) == Answer::closed);
  CHECK(write("nobody reads").wait(io.waitScope) == Answer::closed);
}

TEST_CASE_METHOD(Fixture, "a reader that goes while a write waits ends it") {
  auto written = write(kLong);
  CHECK_FALSE(written.poll(io.waitScope));
  pipe->close_reading_end();
  CHECK(written.wait(io.waitScope) == Answer::closed);
  CHECK(write("more").wait(io.waitScope) == Answer::closed);
}

TEST_CASE_METHOD(Fixture, "the end of the pipe ends a write that waits") {
  auto written = write(kLong);
  CHECK_FALSE(written.poll(io.waitScope));
  pipe.reset();
  CHECK(written.wait(io.waitScope) == Answer::closed);
}

TEST_CASE_METHOD(Fixture, "bytes go on their way although nobody waits for the answer") {
  { auto dropped = write(kLong, true); }
  ::fcntl(pipe->reading_end(), F_SETFL, O_NONBLOCK);
  std::string all;
  for (bool ended = false; !ended;) {
    std::string piece(100'000, '\0');
    const auto size = ::read(pipe->reading_end(), piece.data(), piece.size());
    ended = size == 0;
    if (size > 0) all += piece.substr(0, static_cast<std::size_t>(size));
    kj::evalLater([] {}).wait(io.waitScope);
    io.provider->getTimer().afterDelay(0 * kj::SECONDS).wait(io.waitScope);
  }
  CHECK(all == kLong);
}
