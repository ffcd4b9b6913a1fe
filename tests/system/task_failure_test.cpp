#include <knee/knee.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/slave_process.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

struct NotAnException {
  int value;
};

int throw_runtime_error(int x) {
  throw std::runtime_error("no root of " + std::to_string(x));
}
void throw_a_string() {
  throw std::string("just text");
}
void throw_a_literal() {
  throw "a literal";
}
void throw_a_struct() {
  throw NotAnException{1};
}
[[gnu::no_sanitize("undefined")]] void write_through_null() {
  volatile int* nowhere = nullptr;
  *nowhere = 1;
}
void call_abort() {
  std::fputs("last words\n", stderr);
  ::abort();
}
void call_exit() {
  ::exit(3);
}
void call_quick_exit() {
  ::_exit(4);
}
void kill_itself() {
  ::raise(SIGKILL);
}

void spin() {
  for (volatile bool on = true; on;) {
  }
}

/// Leaves more in its buffer than the pipe takes, which nobody reads.
void print_to_nobody() {
  int ends[2];
  if (::pipe(ends) != 0 || ::dup2(ends[1], STDOUT_FILENO) < 0) throw std::runtime_error("no pipe");
  static std::array<char, 1'000'000> buffer;
  std::setvbuf(stdout, buffer.data(), _IOFBF, buffer.size());
  std::fputs(std::string(200'000, 'x').c_str(), stdout);
}

/// Runs `task` among others on a slave of its own; every other result must arrive.
template <auto task, class... Args>
Error failure_among_others(const knee::TaskOptions& options, Args... args) {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  std::optional<Error> error;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.name = "mixed"});
    Tally results(100);
    const auto add_others = [&](int first) {
      for (int i = first; i < first + 50; ++i)
        bag.call<twice>(i).then([&](int x) { results.add(x / 2); });
    };
    add_others(0);
    auto failing = bag.call<task>(options, args...);
    add_others(50);
    error = error_of(std::move(failing));
    bag.wait();
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
  CHECK(error->slave() == "gandalf");
  CHECK_THAT(error->task(), Contains("mixed: "));
  CHECK_THAT(error->what(), Contains("on slave gandalf"));
  return *error;
}

}  // namespace

TEST_CASE("an exception arrives with its type and its text and is final") {
  const Error error = failure_among_others<throw_runtime_error>({}, 7);
  CHECK(error.kind() == Error::Kind::exception);
  CHECK(error.attempt() == 1);
  CHECK(error.exception_type() == "std::runtime_error");
  CHECK(error.exception_text() == "no root of 7");
  CHECK_THAT(error.what(), Contains("std::runtime_error: no root of 7"));
  CHECK_THAT(error.task(), Contains("throw_runtime_error"));
}

TEST_CASE("a call that was given a name of its own is called by it") {
  const Error error = failure_among_others<throw_runtime_error>({.name = "root of seven"}, 7);
  CHECK_THAT(error.task(), Contains("root of seven") && !Contains("throw_runtime_error"));
  CHECK_THAT(error.what(), Contains("root of seven"));
}

TEST_CASE("what is thrown and is no std::exception arrives too") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    CHECK(error_of(cluster.call<throw_a_string>()).exception_text() == "just text");
    CHECK(error_of(cluster.call<throw_a_literal>()).exception_text() == "a literal");
    const Error error = error_of(cluster.call<throw_a_struct>());
    CHECK(error.kind() == Error::Kind::exception);
    CHECK_THAT(error.exception_type(), Contains("NotAnException"));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task that segfaults is tried three times, and nothing else suffers") {
  const Error error = failure_among_others<write_through_null>({});
  CHECK(error.kind() == Error::Kind::crashed);
  CHECK(error.attempt() == 3);
  CHECK_THAT(error.what(), Contains("SIGSEGV"));
}

TEST_CASE("a task that aborts is charged, and its last words arrive") {
  const Error error = failure_among_others<call_abort>({.attempts = 2});
  CHECK(error.kind() == Error::Kind::crashed);
  CHECK(error.attempt() == 2);
  CHECK_THAT(error.what(), Contains("SIGABRT") && Contains("last words"));
}

TEST_CASE("a task that calls exit is not tried again") {
  const Error error = failure_among_others<call_exit>({});
  CHECK(error.kind() == Error::Kind::exited);
  CHECK(error.attempt() == 1);
  CHECK_THAT(error.what(), Contains("exit(3)"));
}

TEST_CASE("a task that calls _exit has exited as well") {
  const Error error = failure_among_others<call_quick_exit>({});
  CHECK(error.kind() == Error::Kind::exited);
  CHECK_THAT(error.what(), Contains("4"));
}

TEST_CASE("a worker killed with SIGKILL costs its task an attempt") {
  const Error error = failure_among_others<kill_itself>({});
  const bool plausible =
      error.kind() == Error::Kind::crashed || error.kind() == Error::Kind::out_of_memory;
  CHECK(plausible);
  CHECK(error.attempt() == 3);
  CHECK_THAT(error.what(), Contains("SIGKILL"));
}

TEST_CASE("a task whose output goes nowhere is killed when its time is over") {
  const Error error = failure_among_others<print_to_nobody>({.timeout = 100ms});
  CHECK(error.kind() == Error::Kind::timeout);
}

TEST_CASE("a task that runs past its timeout is killed and not tried again") {
  const Error error = failure_among_others<spin>({.timeout = 100ms});
  CHECK(error.kind() == Error::Kind::timeout);
  CHECK(error.attempt() == 1);
  CHECK_THAT(error.what(), Contains("0.1 s"));
}

TEST_CASE("a timeout is tried again if that was asked for") {
  const Error error =
      failure_among_others<spin>({.timeout = 100ms, .retry_timeouts = true, .attempts = 2});
  CHECK(error.kind() == Error::Kind::timeout);
  CHECK(error.attempt() == 2);
}

TEST_CASE("a call has its bag's options, and those that it has itself come before the bag's") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.timeout = 100ms, .retry_timeouts = true, .attempts = 2});
    const auto check = [&](const knee::TaskOptions& options, const std::string& limit,
                           int attempts) {
      const Error error = error_of(bag.call<spin>(options));
      CHECK(error.kind() == Error::Kind::timeout);
      CHECK_THAT(error.what(), Contains("longer than its limit of " + limit + ","));
      CHECK(error.attempt() == attempts);
    };
    check({}, "0.1 s", 2);
    check({.timeout = 200ms}, "0.2 s", 2);
    check({.retry_timeouts = false}, "0.1 s", 1);
    check({.attempts = 3}, "0.1 s", 3);
    CHECK(error_of(bag.call<kill_itself>()).attempt() == 2);
    CHECK(error_of(bag.call<kill_itself>(knee::TaskOptions{.attempts = 1})).attempt() == 1);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("the bag throws the first failure that nobody handled, with the number of the others") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag({.name = "roots"});
  for (int i = 0; i < 3; ++i) (void)bag.call<throw_runtime_error>(i);
  const Error error = error_out_of([&] { bag.wait(); });
  CHECK(error.kind() == Error::Kind::exception);
  CHECK_THAT(error.what(), Contains("2 more failures"));
  CHECK(bag.counts().failed == 3);
  CHECK(bag.call<twice>(4).get() == 8);
  bag.wait();
}
