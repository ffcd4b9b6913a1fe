#include "client/driver/progress.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "client/driver/console.h"
#include "common/base/unique_fd.h"

using namespace knee;
using namespace knee::driver;
using namespace std::chrono_literals;

namespace {

const std::chrono::steady_clock::time_point kStart{1h};

/// A terminal, and what would be seen on it.
class Terminal {
 public:
  Terminal() {
    int us = -1;
    int them = -1;
    REQUIRE(::openpty(&us, &them, nullptr, nullptr, nullptr) == 0);
    screen_.reset(us);
    end_.reset(them);
  }
  int end() const { return ::dup(end_.get()); }
  void set_columns(unsigned short columns) const {
    const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(::ioctl(end_.get(), TIOCSWINSZ, &size) == 0);
  }
  /// What was written since the last call. It may come in pieces, so a mark is set behind it.
  std::string shown() {
    const std::string mark = "<end>";
    REQUIRE(::write(end_.get(), mark.data(), mark.size()) == static_cast<ssize_t>(mark.size()));
    std::string text;
    while (!text.ends_with(mark)) {
      char some[4096];
      const auto size = ::read(screen_.get(), some, sizeof some);
      REQUIRE(size > 0);
      text.append(some, static_cast<std::size_t>(size));
    }
    text.resize(text.size() - mark.size());
    return text;
  }

 private:
  UniqueFd screen_;
  UniqueFd end_;
};

/// A file in place of descriptor 1 or 2, for as long as it lives.
class Redirected {
 public:
  explicit Redirected(int descriptor, int file = ::memfd_create("redirected", MFD_CLOEXEC))
      : descriptor_(descriptor), file_(file), old_(::fcntl(descriptor, F_DUPFD_CLOEXEC, 100)) {
    ::dup2(file_.get(), descriptor_);
  }
  ~Redirected() { ::dup2(old_.get(), descriptor_); }
  std::string text() const {
    std::string text(1 << 20, '\0');
    const auto size = ::pread(file_.get(), text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    return text;
  }

 private:
  int descriptor_;
  UniqueFd file_;
  UniqueFd old_;
};

}  // namespace

TEST_CASE("the progress line says what there is, and nothing of what there is not") {
  Standing standing;
  standing.done = 10;
  standing.running = 4;
  standing.waiting = 986;
  standing.slaves = 2;
  CHECK(progress_line("pi", standing) == "pi: 10 done, 4 running, 986 waiting, 2 slaves");
  standing.failed = 3;
  standing.slaves = 1;
  standing.remaining = 90s;
  standing.rate = 12.5;
  standing.fractions = {0.421F, 1.0F};
  CHECK(progress_line("", standing) ==
        "knee: 10 done, 3 failed, 4 running (at 42 %, 100 %), 986 waiting, 1 slave, 12.5 tasks/s, "
        "90 s left");
  standing.fractions.assign(5, 0.5F);
  CHECK_THAT(progress_line("", standing), Catch::Contains("(at 50 %, 50 %, 50 %, 50 %, ...)"));
}

TEST_CASE("durations are short to read") {
  const auto [duration, text] = GENERATE(table<std::chrono::nanoseconds, const char*>({
      {0s, "0 s"},
      {1400ms, "1 s"},
      {99s, "99 s"},
      {99600ms, "100 s"},
      {100s, "2 min"},
      {3599s, "60 min"},
      {99min, "99 min"},
      {5999s, "100 min"},
      {100min, "1.7 h"},
      {48h, "48.0 h"},
  }));
  CHECK(short_duration(duration) == text);
}

TEST_CASE("progress goes to a file only when asked for, a line at a time") {
  detail::BagState bag(BagOptions{.name = "pi"});
  bag.done = 5;
  const Redirected error(STDERR_FILENO);
  Standing standing;
  standing.running = 1;
  standing.waiting = 2;
  standing.slaves = 3;
  {
    Console console;
    Progress silent(std::nullopt, bag, console);
    silent.show(standing, kStart);
    silent.finish();
    CHECK(silent.interval() >= 1h);
  }
  CHECK(error.text().empty());
  {
    Console console;
    Progress wanted(true, bag, console);
    wanted.show(standing, kStart);
    bag.done = 25;
    wanted.show(standing, kStart + 10s);
    wanted.finish();
    CHECK(wanted.interval() == 10s);
  }
  CHECK(error.text() ==
        "pi: 5 done, 1 running, 2 waiting, 3 slaves\n"
        "pi: 25 done, 1 running, 2 waiting, 3 slaves, 2 tasks/s\n");
}

TEST_CASE("on a terminal progress is one line that stays below what tasks print") {
  detail::BagState bag(BagOptions{.name = "pi"});
  Terminal terminal;
  {
    const Redirected error(STDERR_FILENO, terminal.end());
    Console console;
    Progress progress(std::nullopt, bag, console);
    CHECK(progress.interval() < 1s);
    progress.show({}, kStart);
    console.print(true, "[gandalf f] ", "hello\n");
    console.pass(true, "half a line");
    progress.finish();
  }
  const std::string line = "pi: 0 done, 0 running, 0 waiting, 0 slaves";
  CHECK(terminal.shown() == "\r\033[K" + line +                    // drawn
                                "\r\033[K[gandalf f] hello\r\n" +  // wiped for a task's line
                                "\r\033[K" + line +                // and drawn again
                                "\r\033[Khalf a line");            // not behind half a line
}

TEST_CASE("a line is cut to so many characters, never inside one") {
  CHECK(cut_to_columns("pi: 10 done", 20) == "pi: 10 done");
  CHECK(cut_to_columns("pi: 10 done", 11) == "pi: 10 done");
  CHECK(cut_to_columns("pi: 10 done", 10) == "pi: 10 don");
  CHECK(cut_to_columns("pi", 0).empty());
  CHECK(cut_to_columns("", 5).empty());
  const std::string word = "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";  // of 2, 3 and 4 bytes
  CHECK(cut_to_columns(word, 3) == word);
  CHECK(cut_to_columns(word, 2) == word.substr(0, 5));
  CHECK(cut_to_columns(word, 1) == word.substr(0, 2));
  CHECK(cut_to_columns(word, 0).empty());
}

TEST_CASE("the progress line leaves the last column of its terminal free, as wide as that is now") {
  detail::BagState bag(BagOptions{.name = std::string(100, 'x')});
  Terminal terminal;  // which does not tell its width
  const std::string wipe = "\r\033[K";
  {
    const Redirected error(STDERR_FILENO, terminal.end());
    {
      Console console;
      Progress(std::nullopt, bag, console).show({}, kStart);
    }
    CHECK(terminal.shown() == wipe + std::string(79, 'x') + wipe);
    terminal.set_columns(21);
    {
      Console console;
      Progress(std::nullopt, bag, console).show({}, kStart);
    }
    CHECK(terminal.shown() == wipe + std::string(20, 'x') + wipe);
  }
}

TEST_CASE("each line of a task gets its prefix, on the stream it was printed to") {
  const Redirected out(STDOUT_FILENO);
  const Redirected error(STDERR_FILENO);
  {
    Console console;
    console.print(false, "[gandalf f] ", "one\n\ntwo\n");
    console.print(true, "[gandalf f] ", "no newline");
    console.say("a slave came");
    console.print(false, "", "plain\n");
    console.print(false, "x", "");
  }
  CHECK(out.text() == "[gandalf f] one\n[gandalf f] \n[gandalf f] two\nplain\n");
  CHECK(error.text() == "[gandalf f] no newline\nknee: a slave came\n");
}

TEST_CASE("what was printed comes out in order, all of it") {
  const Redirected out(STDOUT_FILENO);
  std::string expected;
  {
    Console console;
    for (int i = 0; i < 1000; ++i) {
      console.print(false, "", std::to_string(i) + "\n");
      expected += std::to_string(i) + "\n";
    }
  }
  CHECK(out.text() == expected);
}
