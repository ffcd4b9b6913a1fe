#include <knee/knee.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/slave_process.h"
#include "tests/system/harness/traffic.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using knee::Command;

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMB = 1'000'000;

knee::ClusterOptions commands_on(const SlaveProcess& slave) {
  auto options = reaching(slave);
  options.commands_only = true;
  return options;
}

/// Prints the first letter of its input, which is 1 MB of it.
Command reader_of(const TemporaryFolder& here, char letter) {
  const std::string path = here / std::string(1, letter);
  std::ofstream(path) << std::string(kMB, letter);
  Command command;
  command.arguments = {"sh", "-c", std::string("head -c 1 ") + letter};
  command.inputs = {{.path = path, .name = ""}};
  return command;
}

/// Says that it runs, and takes a slot until `go` is there.
Command blocker(const TemporaryFolder& here) {
  Command command;
  command.arguments = {"sh", "-c",
                       "echo started >> " + here / "started" + "; until [ -e " + here / "go" +
                           " ]; do sleep 0.01; done"};
  return command;
}

/// Files that somebody has protected from eviction.
std::size_t pins(const SlaveProcess& slave) {
  std::size_t found = 0;
  std::error_code gone;
  for (fs::recursive_directory_iterator at(slave.store() + "/run", gone), end; !gone && at != end;
       at.increment(gone))
    found += at->path().parent_path().filename() == "pins";
  return found;
}

}  // namespace

TEST_CASE("a queued command finds its input although the store made room meanwhile") {
  SlaveProcess slave({.slots = 1, .flags = {"--store-size", "3500000"}});
  const LeakCheck leaks({&slave});
  {
    const TemporaryFolder here;
    knee::Cluster cluster(commands_on(slave));
    auto first = cluster.run(blocker(here));
    wait_for_marks(here / "started");
    auto queued = cluster.run(reader_of(here, 'a'));
    REQUIRE(wait_until([&] { return pins(slave) == 1; }));

    // Of another driver: what it uses later than the queued command's input would outlast it.
    knee::Cluster other(commands_on(slave));
    for (const char letter : {'b', 'c'}) {
      auto promise = other.run(reader_of(here, letter));
      REQUIRE(wait_until([&] { return pins(slave) == 2; }));
      promise.cancel();
      CHECK_THROWS_AS(promise.get(), knee::Error);
      REQUIRE(wait_until([&] { return pins(slave) == 1; }));
    }
    auto last = other.run(reader_of(here, 'd'));
    REQUIRE(wait_until([&] { return received_by(slave) == 4 * kMB && pins(slave) == 2; }));

    std::ofstream(here / "go") << "";
    CHECK(queued.get().out == "a");
    CHECK(last.get().out == "d");
    CHECK(received_by(slave) == 4 * kMB);
    CHECK(wait_until([&] { return pins(slave) == 0; }));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("an input that somebody has removed from a slave's store is sent again") {
  SlaveProcess slave({.own_store = true});
  const TemporaryFolder here;
  knee::Cluster cluster(commands_on(slave));
  const auto command = reader_of(here, 'a');
  CHECK(cluster.run(command).get().out == "a");
  for (const auto& blob : fs::directory_iterator(slave.store() + "/blobs")) fs::remove(blob);
  // It had not started: no attempt is charged.
  CHECK(cluster.run(command, {.attempts = 1}).get().out == "a");
  CHECK(received_by(slave) == 2 * kMB);
}

TEST_CASE("commands whose inputs do not fit into the store together run one after the other") {
  SlaveProcess slave({.slots = 1, .flags = {"--store-size", "2500000"}});
  const TemporaryFolder here;
  knee::Cluster cluster(commands_on(slave));
  auto bag = cluster.bag({.name = "many"});
  std::string out;
  for (char letter = 'a'; letter <= 'l'; ++letter)
    bag.run(reader_of(here, letter), {.attempts = 1}).then([&](knee::CommandResult result) {
      out += result.out;
    });
  bag.wait();
  CHECK(out.size() == 12);
}

TEST_CASE("a program too large for the stores of all slaves fails its tasks, with what to do") {
  SlaveProcess slave({.flags = {"--store-size", "200000"}});
  knee::Cluster cluster(reaching(slave));
  for (int i = 0; i < 2; ++i) {
    const knee::Error error = error_of(cluster.call<twice>(1));
    CHECK(error.kind() == knee::Error::Kind::setup);
    CHECK_THAT(error.what(), Catch::Contains("gandalf") && Catch::Contains("200.0 kB") &&
                                 Catch::Contains("larger --store-size"));
  }
}

TEST_CASE("a program too large for one slave's store runs on the others") {
  SlaveProcess small({.name = "small", .flags = {"--store-size", "200000"}});
  SlaveProcess large({.name = "large"});
  knee::Cluster cluster(reaching({&small, &large}));
  CHECK(cluster.call<twice>(1).get() == 2);
  CHECK(cluster.slaves() == std::vector<std::string>{"large"});
}

TEST_CASE("an input too large for a slave's store fails its command, with what to do") {
  SlaveProcess slave({.flags = {"--store-size", "500000"}});
  const TemporaryFolder here;
  knee::Cluster cluster(commands_on(slave));
  const knee::Error error = error_of(cluster.run(reader_of(here, 'a')));
  CHECK(error.kind() == knee::Error::Kind::refused);
  CHECK_THAT(error.what(), Catch::Contains("gandalf") && Catch::Contains("1.0 MB") &&
                               Catch::Contains("500.0 kB") &&
                               Catch::Contains("larger --store-size"));
}
