#include <knee/knee.h>
#include <knee/this_task.h>
#include <unistd.h>
#include <knee/detail/large_block.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using knee::Error;

namespace {

constexpr std::size_t kMB = 1'000'000;

struct Block {
  int number = 0;
  unsigned attempt = 0;
  std::string bytes;
};

/// A result of so many bytes.
Block block(int number, std::size_t size, std::string file) {
  leave_mark(file, std::to_string(number));
  return {number, knee::this_task::attempt(),
          std::string(size, static_cast<char>('a' + number % 26))};
}

Block block_when(int number, std::size_t size, std::string file, std::string go) {
  wait_for_marks(go);
  return block(number, size, file);
}

bool is_whole(const Block& block, std::size_t size) {
  return block.bytes == std::string(size, static_cast<char>('a' + block.number % 26));
}

std::string same(std::string text) {
  return text;
}

/// Leaves its attempt as a mark and gives the size of its argument.
std::size_t size_of(std::string text, std::string file) {
  leave_mark(file, std::to_string(knee::this_task::attempt()));
  return text.size();
}

void take_and_hang(std::string, std::string file) {
  hang(file);
}

/// Of this process, without a block that it keeps for large values: so the next one makes it grow.
std::uint64_t memory_before_a_result() {
  knee::detail::LargeBlock::free_kept();
  return resident_memory_of(::getpid());
}

/// Until part of a large result has come: this process grows.
bool wait_for_part_of_a_result(std::uint64_t before) {
  return wait_until([before] { return resident_memory_of(::getpid()) > before + 8 * kMB; });
}

knee::Command shell(const std::string& script) {
  knee::Command command;
  command.arguments = {"sh", "-c", script};
  return command;
}

/// A command that leaves a mark and makes two files of so many bytes.
knee::Command two_files(std::size_t size, const std::string& file) {
  const std::string bytes = std::to_string(size);
  auto command = shell("echo x >> " + file + "; head -c " + bytes + " /dev/zero > one; head -c " +
                       bytes + " /dev/zero | tr '\\0' x > two");
  command.outputs = {"one", "two"};
  return command;
}

bool has_both(const knee::CommandResult& result, std::size_t size) {
  return result.exit_code == 0 && result.files.size() == 2 &&
         result.files[0].content == std::string(size, '\0') &&
         result.files[1].content == std::string(size, 'x');
}

}  // namespace

TEST_CASE("a slave killed in the middle of a large result makes its task run again") {
  constexpr std::size_t kSize = 96 * kMB;
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    REQUIRE(cluster.call<twice>(1).get() == 2);
    const auto before = memory_before_a_result();
    auto promise = cluster.call<block>(3, kSize, folder / "ran");
    REQUIRE(wait_for_part_of_a_result(before));
    slave.kill();
    CHECK_FALSE(promise.ready());
    slave.start();
    const auto result = promise.get();
    CHECK(result.attempt == 2);
    CHECK(is_whole(result, kSize));
    CHECK(marks_in(folder / "ran").size() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task with one attempt has failed when its result is lost with its slave") {
  SlaveProcess slave({.slots = 1});
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  REQUIRE(cluster.call<twice>(1).get() == 2);
  auto bag = cluster.bag({.attempts = 1});
  const auto before = memory_before_a_result();
  auto promise = bag.call<block>(3, 96 * kMB, folder / "ran");
  REQUIRE(wait_for_part_of_a_result(before));
  slave.kill();
  const Error error = error_of(std::move(promise));
  CHECK(error.kind() == Error::Kind::slave_lost);
  CHECK(error.slave() == "gandalf");
  slave.start();
  CHECK(bag.call<twice>(1).get() == 2);
  CHECK(marks_in(folder / "ran").size() == 1);
}

TEST_CASE("a hundred large results each arrive once, though their slave is killed meanwhile") {
  constexpr int kTasks = 100;
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    Tally results(kTasks);
    int whole = 0;
    const auto count = [&](const Block& one) {
      results.add(one.number);
      whole += is_whole(one, kMB) ? 1 : 0;
    };
    for (int i = 0; i < kTasks / 2; ++i) bag.call<block>(i, kMB, folder / "ran").then(count);
    for (int i = kTasks / 2; i < kTasks; ++i)
      bag.call<block_when>(i, kMB, folder / "ran", folder / "go").then(count);
    REQUIRE(wait_until([&] { return bag.counts().done > 5; }));
    slave.kill();
    CHECK(bag.counts().done <= kTasks / 2);
    leave_mark(folder / "go", "");
    slave.start();
    REQUIRE(wait_until([&] { return bag.counts().done > kTasks / 2 + 5; }));
    slave.kill();
    slave.start();
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(whole == kTasks);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave killed in the middle of a command's output makes the command run again") {
  constexpr std::size_t kSize = 64 * kMB;
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.commands_only = true;
    knee::Cluster cluster(options);
    REQUIRE(cluster.run(shell("true")).get().exit_code == 0);
    const auto before = memory_before_a_result();
    auto promise = cluster.run(two_files(kSize, folder / "ran"));
    REQUIRE(wait_for_part_of_a_result(before));
    slave.kill();
    CHECK_FALSE(promise.ready());
    slave.start();
    CHECK(has_both(promise.get(), kSize));
    CHECK(marks_in(folder / "ran").size() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("the large outputs of commands each arrive once, though their slave is killed") {
  constexpr int kCommands = 20;
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.commands_only = true;
    knee::Cluster cluster(options);
    auto bag = cluster.bag();
    Tally results(kCommands);
    int whole = 0;
    for (int i = 0; i < kCommands; ++i)
      bag.run(two_files(kMB, folder / "ran")).then([&, i](const knee::CommandResult& result) {
        results.add(i);
        whole += has_both(result, kMB) ? 1 : 0;
      });
    REQUIRE(wait_until([&] { return bag.counts().done > 3; }));
    slave.kill();
    CHECK(bag.counts().done < kCommands);
    slave.start();
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(whole == kCommands);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task cancelled while its result is fetched ends as cancelled, and frees its slot") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    REQUIRE(cluster.call<twice>(1).get() == 2);
    const auto before = memory_before_a_result();
    auto promise = cluster.call<block>(3, 96 * kMB, folder / "ran");
    REQUIRE(wait_for_part_of_a_result(before));
    promise.cancel();
    CHECK(error_of(std::move(promise)).kind() == Error::Kind::cancelled);
    CHECK(wait_until([&] { return slave.value_bytes() == 0; }));
    CHECK(cluster.call<twice>(2).get() == 4);
    CHECK(marks_in(folder / "ran").size() == 1);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task cancelled while its large argument leaves ends at once and takes no memory") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.cancel_grace = 50ms;
    knee::Cluster cluster(options);
    auto promise = cluster.call<take_and_hang>(std::string(100 * kMB, 'x'), folder / "ran");
    REQUIRE(wait_until([&] { return slave.value_bytes() > 4 * kMB; }));
    slave.process().stop();
    promise.cancel();
    // On its way it needs no answer of the slave; one that has arrived does.
    if (slave.value_bytes() < 95 * kMB) CHECK(wait_until([&] { return promise.ready(); }));
    slave.process().resume();
    CHECK(error_of(std::move(promise)).kind() == Error::Kind::cancelled);
    CHECK(wait_until([&] { return slave.value_bytes() == 0; }));
    CHECK(cluster.call<twice>(2).get() == 4);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task whose argument was on its way when its slave was killed had not begun") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1});
    auto promise = bag.call<size_of>(std::string(100 * kMB, 'x'), folder / "ran");
    REQUIRE(wait_until([&] { return slave.value_bytes() > 4 * kMB; }));
    slave.kill();
    CHECK(marks_in(folder / "ran").empty());
    slave.start();
    CHECK(promise.get() == 100 * kMB);
    CHECK(marks_in(folder / "ran") == std::vector<std::string>{"1"});
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("an argument of 80 MB and a result of 80 MB are no less than small ones") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    std::string text(80 * kMB, 'x');
    text += "end";
    const bool equal = cluster.call<same>(text).get() == text;
    CHECK(equal);
    CHECK(wait_until([&] { return slave.value_bytes() == 0; }));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("results of 80 MB that end at once take turns and all arrive") {
  constexpr std::size_t kSize = 80 * kMB;
  SlaveProcess slave({.slots = 4});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.attempts = 1});
    Tally results(4);
    int whole = 0;
    for (int i = 0; i < 4; ++i)
      bag.call<block_when>(i, kSize, folder / "ran", folder / "go").then([&](const Block& one) {
        results.add(one.number);
        whole += is_whole(one, kSize) ? 1 : 0;
      });
    leave_mark(folder / "go", "");
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(whole == 4);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task cancelled before its slave was lost has been cancelled") {
  SlaveProcess slave({.slots = 1});
  const TemporaryFolder folder;
  auto options = reaching(slave);
  options.cancel_grace = 20s;
  knee::Cluster cluster(options);
  auto promise = cluster.call<hang>(folder / "started");
  wait_for_marks(folder / "started");
  promise.cancel();
  slave.kill();
  CHECK(error_of(std::move(promise)).kind() == Error::Kind::cancelled);
}
