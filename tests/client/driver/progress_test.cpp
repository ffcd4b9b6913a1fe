#include "client/driver/progress.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "client/driver/console.h"
#include "common/base/unique_fd.h"

using namespace knee;
using namespace knee::driver;
using namespace std::chrono_literals;

namespace {

/// A file in place of descriptor 1 or 2, for as long as it lives.
class Redirected {
 public:
  explicit Redirected(int descriptor)
      : descriptor_(descriptor),
        file_(::memfd_create("redirected", MFD_CLOEXEC)),
        old_(::fcntl(descriptor, F_DUPFD_CLOEXEC, 100)) {
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
  CHECK(progress_line("", standing) ==
        "knee: 10 done, 3 failed, 4 running, 986 waiting, 1 slave, 90 s left");
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
  {
    Progress silent(std::nullopt, bag);
    silent.show(1, 2, 3, std::nullopt);
    silent.finish();
    CHECK(silent.interval() >= 1h);
  }
  CHECK(error.text().empty());
  Progress wanted(true, bag);
  wanted.show(1, 2, 3, std::nullopt);
  wanted.finish();
  CHECK(wanted.interval() == 10s);
  CHECK(error.text() == "pi: 5 done, 1 running, 2 waiting, 3 slaves\n");
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
