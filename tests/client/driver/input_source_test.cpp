#include "client/driver/input_source.h"

#include <kj/async-io.h>
#include <knee/command.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <memory>
#include <string>
#include <thread>

using knee::LiveInput;
using knee::driver::InputSource;

namespace {

constexpr std::size_t kFull = InputSource::kMostWaiting;

struct Fixture {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  std::shared_ptr<InputSource> source = std::make_shared<InputSource>();

  auto next() { return source->next().wait(io.waitScope); }

  /// A thread that writes these bytes; what `write` gave.
  std::future<bool> write_elsewhere(std::string bytes) {
    return std::async(std::launch::async,
                      [source = source, bytes = std::move(bytes)] { return source->write(bytes); });
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "what was written comes out in order, in chunks of up to 512 KiB") {
  std::string all;
  for (int i = 0; i < 100'000; ++i) {
    const auto line = std::to_string(i) + "\n";
    REQUIRE(source->write(line));
    all += line;
  }
  source->close();
  std::string taken;
  std::size_t chunks = 0;
  for (bool end = false; !end; ++chunks) {
    const auto chunk = next();
    CHECK(chunk.bytes.size() <= InputSource::kChunk);
    taken += chunk.bytes;
    end = chunk.end;
  }
  CHECK(taken == all);
  CHECK(chunks == all.size() / InputSource::kChunk + 1);
}

TEST_CASE_METHOD(Fixture, "the end comes with the last chunk, or alone") {
  source->write("last");
  source->close();
  const auto last = next();
  CHECK(last.bytes == "last");
  CHECK(last.end);
  auto empty = std::make_shared<InputSource>();
  empty->close();
  const auto alone = empty->next().wait(io.waitScope);
  CHECK(alone.bytes.empty());
  CHECK(alone.end);
}

TEST_CASE_METHOD(Fixture, "who waits for the next chunk gets what another thread writes") {
  auto waits = source->next();
  CHECK_FALSE(waits.poll(io.waitScope));
  auto written = write_elsewhere("hello");
  const auto chunk = waits.wait(io.waitScope);
  CHECK(chunk.bytes == "hello");
  CHECK_FALSE(chunk.end);
  CHECK(written.get());
}

TEST_CASE_METHOD(Fixture, "a write of more than there is room for goes on as chunks are taken") {
  const std::string bytes(5 * kFull, 'b');
  auto written = write_elsewhere(bytes);
  std::size_t taken = 0;
  while (taken < bytes.size() - kFull) taken += next().bytes.size();
  CHECK(written.get());
  while (taken < bytes.size()) taken += next().bytes.size();
  CHECK(taken == bytes.size());
}

TEST_CASE_METHOD(Fixture, "the end of the command ends a write that blocks") {
  REQUIRE(source->write(std::string(kFull, 'x')));
  auto blocked = write_elsewhere("y");
  source->end();
  CHECK_FALSE(blocked.get());
  CHECK_FALSE(source->write("z"));
  CHECK_FALSE(source->write(""));
  CHECK(next().over);
}

TEST_CASE_METHOD(Fixture, "the end of the command ends the wait for the next chunk") {
  auto waits = source->next();
  CHECK_FALSE(waits.poll(io.waitScope));
  source->end();
  CHECK(waits.wait(io.waitScope).over);
}

TEST_CASE_METHOD(Fixture, "closing ends a write that blocks, but not what was written before") {
  REQUIRE(source->write(std::string(kFull, 'x')));
  auto blocked = write_elsewhere("y");
  source->close();
  CHECK_FALSE(blocked.get());
  std::size_t taken = 0;
  for (bool end = false; !end;) {
    const auto chunk = next();
    taken += chunk.bytes.size();
    end = chunk.end;
  }
  CHECK(taken == kFull);
}

TEST_CASE_METHOD(Fixture, "an input is that of one command, and fed once") {
  CHECK(source->claim());
  CHECK_FALSE(source->claim());
  CHECK(source->begin_feeding());
  CHECK_FALSE(source->begin_feeding());
}

TEST_CASE_METHOD(Fixture, "the last handle closes the input") {
  auto input = std::make_unique<LiveInput>();
  const auto held = input->source();
  auto copy = std::make_unique<LiveInput>(*input);
  auto waits = held->next();
  input.reset();
  CHECK_FALSE(waits.poll(io.waitScope));
  copy.reset();
  CHECK(waits.wait(io.waitScope).end);
}
