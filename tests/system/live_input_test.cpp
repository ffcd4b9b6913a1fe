#include <knee/knee.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <optional>
#include <string>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/slave_process.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Command;
using knee::Error;
using knee::LiveInput;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;

/// A slave and a driver that only runs commands, and what either leaves behind.
struct Place {
  Place() { cluster.emplace(options()); }
  ~Place() {
    cluster.reset();
    CHECK(leaks.found() == "");
  }

  knee::ClusterOptions options() const {
    auto all = reaching(slave);
    all.commands_only = true;
    return all;
  }

  SlaveProcess slave;
  const LeakCheck leaks{{&slave}};
  std::optional<knee::Cluster> cluster;
  const TemporaryFolder here;
};

Command shell(const std::string& script, const LiveInput& input) {
  Command command;
  command.arguments = {"sh", "-c", script};
  command.live_input = input;
  return command;
}

/// Says in `marks` that it runs, and never reads.
std::string deaf(const std::string& marks) {
  return "echo started >> " + marks + "; exec sleep 1000";
}

/// A thread that has 10 MiB for a command.
class Writer {
 public:
  explicit Writer(LiveInput input)
      : thread_(std::async(std::launch::async, [this, input]() mutable {
          const std::string piece(64 * 1024, 'x');
          while (accepted_ < 10 * kMiB && input.write(piece)) accepted_ += piece.size();
          return accepted_ == 10 * kMiB;
        })) {}

  /// Until there is no room for more: the next write blocks, or does already.
  void wait_until_full() {
    CHECK(wait_until([this] { return accepted_ >= kMiB; }));
  }
  /// Whether all of it was taken. Ends the test if the writer hangs.
  bool wait() {
    REQUIRE(thread_.wait_for(kDeadline) == std::future_status::ready);
    return thread_.get();
  }
  std::size_t accepted() const { return accepted_; }

 private:
  std::atomic<std::size_t> accepted_{0};
  std::future<bool> thread_;
};

Error error_of(knee::Promise<knee::CommandResult> promise) {
  try {
    promise.get();
  } catch (const Error& error) {
    return error;
  }
  FAIL("the command has not failed");
  throw std::logic_error("not reached");
}

}  // namespace

TEST_CASE("a command answers each line before the next is written") {
  Place place;
  LiveInput input;
  const auto marks = place.here / "marks";
  auto promise = place.cluster->run(
      shell("while read line; do echo got $line | tee -a " + marks + "; done; echo end", input));
  for (int i = 1; i <= 3; ++i) {
    CHECK(input.write(std::to_string(i) + "\n"));
    wait_for_marks(marks, static_cast<std::size_t>(i));
  }
  CHECK(marks_in(marks) == std::vector<std::string>{"got 1", "got 2", "got 3"});
  CHECK_FALSE(promise.ready());
  input.close();
  CHECK_FALSE(input.write("after the end"));
  CHECK(promise.get().out == "got 1\ngot 2\ngot 3\nend\n");
}

TEST_CASE("a live input of many megabytes arrives whole, and ends with its last handle") {
  Place place;
  std::string all;
  for (int i = 0; all.size() < 5 * kMiB; ++i) all += std::to_string(i) + " ";
  std::optional<LiveInput> input(std::in_place);
  auto promise = place.cluster->run(shell("cat", *input));
  CHECK(input->write(all));
  input.reset();
  CHECK(promise.get().out == all);
}

TEST_CASE("a live input that is closed before the command starts is empty, or all it said") {
  Place place;
  LiveInput empty;
  empty.close();
  CHECK(place.cluster->run(shell("cat; echo end", empty)).get().out == "end\n");
  LiveInput input;
  CHECK(input.write("early\n"));
  input.close();
  CHECK(place.cluster->run(shell("cat; echo end", input)).get().out == "early\nend\n");
}

TEST_CASE("a command may read only the beginning of a live input") {
  Place place;
  LiveInput input;
  auto promise = place.cluster->run(shell("head -1", input));
  REQUIRE(input.write("first\n"));
  Writer writer(input);
  const auto result = promise.get();
  CHECK(result.exit_code == 0);
  CHECK(result.out == "first\n");
  CHECK_FALSE(writer.wait());
  CHECK_FALSE(input.write("more"));
}

TEST_CASE("a command that closes its standard input lives on, and the writer hears of it") {
  Place place;
  LiveInput input;
  auto promise = place.cluster->run(shell(
      "exec 0<&-; until [ -e " + place.here / "go" + " ]; do sleep 0.02; done; exit 3", input));
  Writer writer(input);
  CHECK_FALSE(writer.wait());
  CHECK_FALSE(promise.ready());
  leave_mark(place.here / "go", "");
  CHECK(promise.get().exit_code == 3);
}

TEST_CASE("a command that never reads holds up nobody, and can be cancelled") {
  Place place;
  LiveInput unread;
  const auto marks = place.here / "marks";
  auto promise = place.cluster->run(shell(deaf(marks), unread));
  Writer writer(unread);
  wait_for_marks(marks);
  writer.wait_until_full();
  LiveInput input;
  auto other = place.cluster->run(shell("cat", input));
  CHECK(input.write("others run"));
  input.close();
  CHECK(other.get().out == "others run");
  CHECK_FALSE(promise.ready());
  promise.cancel();
  CHECK(error_of(std::move(promise)).kind() == Error::Kind::cancelled);
  CHECK_FALSE(writer.wait());
  CHECK(writer.accepted() < 2 * kMiB);
}

TEST_CASE("a signal and a time limit reach a command that does not read") {
  Place place;
  const auto marks = place.here / "marks";
  LiveInput first;
  auto signalled = place.cluster->run(shell(deaf(marks), first));
  Writer writer(first);
  wait_for_marks(marks);
  writer.wait_until_full();
  signalled.signal(SIGINT);
  CHECK(signalled.get().signal == SIGINT);
  CHECK_FALSE(writer.wait());
  LiveInput second;
  auto limited = place.cluster->run(shell(deaf(marks), second), {.timeout = 200ms});
  Writer other(second);
  CHECK(error_of(std::move(limited)).kind() == Error::Kind::timeout);
  CHECK_FALSE(other.wait());
}

TEST_CASE("a command whose input is live is lost with its slave, and its writer with it") {
  Place place;
  LiveInput input;
  const auto marks = place.here / "marks";
  auto promise = place.cluster->run(shell(deaf(marks), input), {.attempts = 5, .repeatable = true});
  Writer writer(input);
  wait_for_marks(marks);
  writer.wait_until_full();
  place.slave.kill();
  CHECK(error_of(std::move(promise)).kind() == Error::Kind::slave_lost);
  CHECK_FALSE(writer.wait());
  place.slave.start();
  LiveInput next;
  next.close();
  CHECK(place.cluster->run(shell("cat", next)).get().exit_code == 0);
  CHECK(marks_in(marks).size() == 1);
}

TEST_CASE("the end of the cluster ends a writer that blocks") {
  Place place;
  LiveInput input;
  const auto marks = place.here / "marks";
  std::optional<Writer> writer;
  {
    auto promise = place.cluster->run(shell(deaf(marks), input));
    writer.emplace(input);
    wait_for_marks(marks);
    writer->wait_until_full();
    promise.then([](const knee::CommandResult&) {}, [](const Error&) {});
  }
  place.cluster.reset();
  CHECK_FALSE(writer->wait());
}

TEST_CASE("the end of the cluster ends a writer whose command never started") {
  auto options = knee::ClusterOptions();
  options.slaves = {"unix:/nonexistent/knee-test.sock"};
  options.commands_only = true;
  std::optional<knee::Cluster> cluster(std::in_place, options);
  LiveInput input;
  cluster->run(shell("cat", input)).then([](const knee::CommandResult&) {}, [](const Error&) {});
  Writer writer(input);
  writer.wait_until_full();
  cluster.reset();
  CHECK_FALSE(writer.wait());
  CHECK(writer.accepted() == kMiB);
}

TEST_CASE("what a live input cannot be used for is said at the call") {
  Place place;
  LiveInput input;
  auto both = shell("cat", input);
  both.input = "and this";
  CHECK_THROWS_WITH(place.cluster->run(both), Contains("Command::input") && Contains("live_input"));
  input.close();
  const auto once = shell("cat", input);
  CHECK(place.cluster->run(once).get().exit_code == 0);
  CHECK_THROWS_WITH(place.cluster->run(once), Contains("another command"));
  LiveInput refused;
  CHECK_THROWS(place.cluster->run(shell("cat", refused), {.attempts = 0}));
  // It is not spent by that.
  auto accepted = place.cluster->run(shell("cat", refused));
  refused.write("read after all");
  refused.close();
  CHECK(accepted.get().out == "read after all");
}

TEST_CASE("a signal that comes before the command has started is sent when it has") {
  SlaveProcess slave({.slots = 1});
  auto options = reaching(slave);
  options.commands_only = true;
  knee::Cluster cluster(options);
  const TemporaryFolder here;
  LiveInput holding;
  auto holder = cluster.run(shell("echo started >> " + here / "marks" + "; cat", holding));
  wait_for_marks(here / "marks");
  Command waiting;
  waiting.arguments = {"sleep", "1000"};
  auto promise = cluster.run(waiting);
  promise.signal(SIGINT);
  CHECK_FALSE(promise.ready());
  holding.close();
  CHECK(holder.get().exit_code == 0);
  CHECK(promise.get().signal == SIGINT);
}
