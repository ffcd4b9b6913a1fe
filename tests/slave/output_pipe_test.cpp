#include "slave/output_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using knee::slave::OutputPipe;
using State = knee::slave::OutputPipe::State;

namespace {

struct Fixture {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  std::vector<std::string> pieces;
  OutputPipe pipe{io.unixEventPort,
                  [this](std::string text) { pieces.push_back(std::move(text)); }};

  void print(const std::string& text) {
    REQUIRE(::write(pipe.writing_end(), text.data(), text.size()) ==
            static_cast<ssize_t>(text.size()));
  }
  using Pieces = std::vector<std::string>;
};

using Pieces = Fixture::Pieces;

}  // namespace

TEST_CASE_METHOD(Fixture, "whole lines come out, the rest of a line waits for its end") {
  CHECK(pipe.drain() == State::empty);
  print("one\ntwo\nthr");
  CHECK(pipe.drain() == State::empty);
  CHECK(pieces == Pieces{"one\ntwo\n"});
  print("ee\n");
  pipe.drain();
  CHECK(pieces == Pieces{"one\ntwo\n", "three\n"});
}

TEST_CASE_METHOD(Fixture, "a flush passes on what has no newline, once") {
  print("no newline");
  pipe.drain();
  CHECK(pieces.empty());
  pipe.flush();
  pipe.flush();
  CHECK(pieces == Pieces{"no newline"});
  print(" more\n");
  pipe.drain();
  CHECK(pieces == Pieces{"no newline", " more\n"});
}

TEST_CASE_METHOD(Fixture, "a line over 8 KiB comes in pieces, nothing lost") {
  const std::string line(50'000, 'x');
  print(line);
  print("\n");
  pipe.drain();
  std::string all;
  for (const auto& piece : pieces) all += piece;
  CHECK(all == line + "\n");
  CHECK(pieces.front().size() > 8 * 1024);
}

TEST_CASE_METHOD(Fixture, "bytes of every value pass, zeros too") {
  std::string text;
  for (int i = 0; i < 256; ++i) text += static_cast<char>(i);
  print(text);
  pipe.drain();
  pipe.flush();
  std::string all;
  for (const auto& piece : pieces) all += piece;
  CHECK(all == text);
}

TEST_CASE_METHOD(Fixture, "the tail is the last 4 KiB, whatever the lines") {
  CHECK(pipe.tail().empty());
  print("short\n");
  pipe.drain();
  CHECK(pipe.tail() == "short\n");
  for (int i = 0; i < 20; ++i) {
    print(std::string(999, static_cast<char>('a' + i)) + "\n");
    pipe.drain();
  }
  CHECK(pipe.tail().size() == 4096);
  CHECK(pipe.tail().ends_with(std::string(999, 't') + "\n"));
}

TEST_CASE_METHOD(Fixture, "the end is said when the last writer is gone, after what it wrote") {
  print("last");
  pipe.close_writing_end();
  CHECK(pipe.drain() == State::ended);
  pipe.flush();
  CHECK(pieces == Pieces{"last"});
}

TEST_CASE_METHOD(Fixture, "one drain takes no more than a megabyte") {
  if (::fcntl(pipe.writing_end(), F_SETPIPE_SZ, 1024 * 1024) < 0) {
    WARN("skipped: pipes may not be as large here");
    return;
  }
  const std::string line = std::string(64 * 1024 - 1, 'x') + "\n";
  for (int i = 0; i < 16; ++i) print(line);
  CHECK(pipe.drain() == State::more);
  CHECK(pieces.size() == 16);
  CHECK(pipe.drain() == State::empty);
  print(line);
  CHECK(pipe.drain() == State::empty);
  CHECK(pieces.size() == 17);
}

TEST_CASE_METHOD(Fixture, "a pump reads whenever there is something, until the end") {
  auto pumping = pipe.pump([] { return true; });
  print("one\n");
  CHECK_FALSE(pumping.poll(io.waitScope));
  CHECK(pieces == Pieces{"one\n"});
  print("two\n");
  CHECK_FALSE(pumping.poll(io.waitScope));
  CHECK(pieces == Pieces{"one\n", "two\n"});
  pipe.close_writing_end();
  pumping.wait(io.waitScope);
}

TEST_CASE_METHOD(Fixture, "a pump that may not read waits for resume and loses nothing") {
  bool may = false;
  auto pumping = pipe.pump([&may] { return may; });
  print("one\n");
  CHECK_FALSE(pumping.poll(io.waitScope));
  CHECK(pieces.empty());
  pipe.resume();  // too early: it looks and waits again
  CHECK_FALSE(pumping.poll(io.waitScope));
  CHECK(pieces.empty());
  may = true;
  pipe.resume();
  CHECK_FALSE(pumping.poll(io.waitScope));
  CHECK(pieces == Pieces{"one\n"});
  pipe.resume();  // nothing waits: nothing happens
  pipe.close_writing_end();
  pumping.wait(io.waitScope);
}
