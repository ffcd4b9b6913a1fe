#include "client/driver/console.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <string>

#include "common/base/unique_fd.h"

using namespace knee;
using namespace knee::driver;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// A pipe in place of stdout, for as long as it lives, that is read when the test says so.
class UnreadOutput {
 public:
  UnreadOutput() : old_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100)) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    read_.reset(ends[0]);
    const UniqueFd write(ends[1]);
    REQUIRE(::dup2(write.get(), STDOUT_FILENO) == STDOUT_FILENO);
  }
  ~UnreadOutput() { ::dup2(old_.get(), STDOUT_FILENO); }

  std::string read(std::size_t size) const {
    std::string text(size, '\0');
    for (std::size_t done = 0; done < size;) {
      const auto count = ::read(read_.get(), text.data() + done, size - done);
      REQUIRE(count > 0);
      done += static_cast<std::size_t>(count);
    }
    return text;
  }
  void close() { read_.reset(); }

 private:
  UniqueFd read_;
  UniqueFd old_;
};

}  // namespace

TEST_CASE("a console counts what nobody reads, and says when half of what it should hold is left") {
  UnreadOutput output;
  Console console;
  const std::size_t most = Console::kMostWaiting / kMiB;
  std::string all;
  for (std::size_t i = 0; i <= most; ++i) {
    all += std::string(kMiB, static_cast<char>('a' + i));
    console.pass(false, all.substr(i * kMiB));
  }
  CHECK(console.waiting() > Console::kMostWaiting);
  std::promise<std::size_t> waiting;
  std::atomic<bool> relieved = false;
  console.when_relieved([&] {
    relieved = true;
    waiting.set_value(console.waiting());
  });
  CHECK(output.read(most / 2 * kMiB) == all.substr(0, most / 2 * kMiB));
  // Half and one more wait, or are being written.
  CHECK_FALSE(relieved);
  CHECK(output.read((most / 2 + 1) * kMiB) == all.substr(most / 2 * kMiB));
  CHECK(waiting.get_future().get() <= Console::kMostWaiting / 2);
}

TEST_CASE("a console that holds little says so at once, and each that asks is told once") {
  Console console;
  std::promise<void> first;
  std::promise<void> second;
  console.when_relieved([&] { first.set_value(); });
  console.when_relieved([&] { second.set_value(); });
  first.get_future().get();
  second.get_future().get();
}

TEST_CASE("a console counts what surrounds the text of very small pieces") {
  UnreadOutput output;
  Console console;
  console.pass(false, std::string(kMiB, 'x'));  // more than a pipe takes
  const auto before = console.waiting();
  for (int i = 0; i < 1000; ++i) console.pass(false, "y");
  CHECK(console.waiting() - before > 100'000);
  CHECK(output.read(kMiB + 1000) == std::string(kMiB, 'x') + std::string(1000, 'y'));
}

TEST_CASE("a console waits for an output that does not block, and loses nothing") {
  UnreadOutput output;
  REQUIRE(::fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK) == 0);
  Console console;
  const std::string text(3 * kMiB, 'x');
  console.pass(false, text);
  CHECK(output.read(text.size()) == text);
}

TEST_CASE("a console whose reader has gone holds nothing") {
  const auto before = ::signal(SIGPIPE, SIG_IGN);  // as KJ does in every driver
  {
    UnreadOutput output;
    Console console;
    for (std::size_t i = 0; i <= Console::kMostWaiting / kMiB; ++i)
      console.pass(false, std::string(kMiB, 'x'));
    std::promise<void> relieved;
    console.when_relieved([&] { relieved.set_value(); });
    output.close();
    relieved.get_future().get();
  }
  ::signal(SIGPIPE, before);
}
