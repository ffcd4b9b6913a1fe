#include <knee/knee.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/system/harness/control_group.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using Catch::Contains;

namespace {

namespace fs = std::filesystem;

/// Takes memory, and uses it, until it is stopped; but not all of a machine without limits.
std::size_t take_all(std::size_t most) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  std::vector<std::unique_ptr<char[]>> pieces;
  for (std::size_t taken = 0; taken < most; taken += kPiece) {
    pieces.emplace_back(new char[kPiece]);
    std::memset(pieces.back().get(), static_cast<int>(pieces.size()), kPiece);
  }
  return pieces.size();
}

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Fills that much memory, frees it, and gives its process.
int fill_and_free(std::size_t bytes) {
  const std::vector<char> filled(bytes, 'x');
  return filled.back() == 'x' ? ::getpid() : 0;
}

}  // namespace

TEST_CASE("what a task has freed goes back to the system when its worker has nothing to do") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    const auto worker = cluster.call<fill_and_free>(64 * kMiB).get();
    REQUIRE(worker != 0);
    CHECK(wait_until([&] { return resident_memory_of(worker) < 40 * kMiB * kMemorySlack; }));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a driver that copies a large file needs no more memory for that") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  std::ofstream(folder / "here").close();
  fs::resize_file(folder / "here", 256 * kMiB);
  const LeakCheck leaks({&slave});
  DriverProcess driver({.part = "copy",
                        .arguments = {folder / "here", folder / "there", folder / "back"},
                        .slaves = {slave.address()}});
  CHECK(driver.wait() == 0);
  CHECK(fs::file_size(folder / "back") == 256 * kMiB);
  CHECK(std::stoull(driver.out()) < 64 * kMiB * kMemorySlack);
  CHECK(leaks.found() == "");
}

TEST_CASE("a task that the kernel kills for want of memory is said to be, and others go on") {
  const auto memory = ControlGroup::with_memory(120 * kMiB * kMemorySlack);
  if (!memory) {
    WARN("SKIPPED: no control group with a limit of memory may be made here");
    return;
  }
  SlaveProcess slave({.slots = 2, .around = memory->around()});
  const TemporaryFolder here;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto other = cluster.call<hold>(7, here / "started", here / "go");
    wait_for_marks(here / "started");
    auto greedy = cluster.call<take_all>(knee::TaskOptions{.attempts = 1}, 1024 * kMiB);
    Others others(cluster);
    const auto error = error_of(std::move(greedy));
    CHECK(error.kind() == knee::Error::Kind::out_of_memory);
    CHECK_THAT(error.what(), Contains("gandalf") && Contains("memory"));
    CHECK_THAT(error.task(), Contains("take_all"));
    CHECK(error.slave() == "gandalf");
    CHECK(error.attempt() == 1);
    CHECK(cluster.call<twice>(21).get() == 42);
    leave_mark(here / "go", "now");
    CHECK(other.get() == 7);
    CHECK(others.complaints() == "");
    CHECK(marks_in(here / "started").size() == 1);
  }
  CHECK(slave.process().is_alive());
  CHECK(leaks.found() == "");
}

TEST_CASE("a command that the kernel kills for want of memory is said to be") {
  const auto memory = ControlGroup::with_memory(120 * kMiB * kMemorySlack);
  if (!memory) {
    WARN("SKIPPED: no control group with a limit of memory may be made here");
    return;
  }
  SlaveProcess slave({.slots = 1, .around = memory->around()});
  const LeakCheck leaks({&slave});
  {
    auto options = reaching(slave);
    options.commands_only = true;
    knee::Cluster cluster(options);
    knee::Command command;
    command.arguments = {"sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"};
    const auto error = error_of(cluster.run(command, {.attempts = 1}));
    CHECK(error.kind() == knee::Error::Kind::out_of_memory);
    command.arguments = {"echo", "on it goes"};
    CHECK(cluster.run(command).get().out == "on it goes\n");
  }
  CHECK(leaks.found() == "");
}
