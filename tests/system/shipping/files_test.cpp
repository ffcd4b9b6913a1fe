// What travels with a driver, and what must not be mistaken for it.
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "driver_run.h"
#include "tests/system/harness/traffic.h"

using namespace knee::test;

namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "right1 right\n";

void replace(const std::string& place, const std::string& content) {
  fs::copy_file(content, place + ".new");
  fs::rename(place + ".new", place);
}

}  // namespace

TEST_CASE("tasks in the driver's own shared library run there") {
  CHECK(printed_by({.driver = "ship_library",
                    .words = {"library"},
                    .library_folders = library_folders()}) == kLibrary);
}

TEST_CASE("a driver's library that was rebuilt while the driver runs is refused by name") {
  const TemporaryFolder folder;
  fs::copy_file(built("libraries/libown.so"), folder / "libown.so");
  DriverRun run({.driver = "ship_library",
                 .words = {"wait-library", folder / "go"},
                 .library_folders = {folder.path(), library_folders()[0]}});
  run.process().wait_for_out("waiting");
  replace(folder / "libown.so", built("other/libown.so"));
  std::ofstream(folder / "go");
  const auto said = run.failure();
  CHECK(count_of(said, "libown.so': it was rebuilt while the program runs; restart the program") ==
        1);
}

TEST_CASE("a driver that was rebuilt while it runs ships the program that runs") {
  const TemporaryFolder folder;
  fs::copy_file(built("ship_pie"), folder / "driver");
  DriverRun run({.driver = folder / "driver", .words = {"wait", folder / "go"}});
  run.process().wait_for_out("waiting");
  replace(folder / "driver", "/bin/true");
  std::ofstream(folder / "go");
  CHECK(count_of(run.printed(), kTwins) == 1);
}

TEST_CASE("an unchanged driver ships nothing the second time, a relinked one only its own file") {
  const SlaveProcess slave({.own_store = true});
  const DriverPlan plan{.driver = "ship_pie", .words = {"twins"}, .slaves = {slave.address()}};
  CHECK(received_by(slave) == 0);
  CHECK(printed_by(plan) == kTwins);
  const auto first = received_by(slave);
  CHECK(first > fs::file_size(built("ship_pie")));
  CHECK(printed_by(plan) == kTwins);
  CHECK(received_by(slave) == first);
  auto relinked = plan;
  relinked.driver = "relinked/ship_pie";
  CHECK(printed_by(relinked) == kTwins);
  CHECK(received_by(slave) == first + fs::file_size(built("relinked/ship_pie")));
}

TEST_CASE("a task function of a plugin runs in a worker that loads the plugin first") {
  // By its name alone: a worker finds it among the shipped files.
  const DriverPlan plan{.driver = "ship_pie",
                        .words = {"preloaded-plugin", "ship_plugin.so"},
                        .library_folders = library_folders()};
  CHECK(printed_by(plan) == "plugin5\n");
}

TEST_CASE("a task can load a plugin that is named to be shipped, and then its tasks run") {
  CHECK(printed_by({.driver = "ship_pie",
                    .words = {"plugin-in-task", "ship_plugin.so", "--knee-ship",
                              built("libraries/ship_plugin.so")},
                    .slots = 1,
                    .library_folders = library_folders()}) == "loaded plugin5\n");
}

TEST_CASE("a program that builds its ClusterOptions itself names there what is to be shipped") {
  CHECK(
      printed_by({.driver = "ship_pie",
                  .words = {"shipped-in-code", "ship_plugin.so", built("libraries/ship_plugin.so")},
                  .library_folders = library_folders()}) == "loaded plugin5\n");
}

TEST_CASE("a task function of a plugin that the worker has not loaded fails, saying so") {
  DriverRun run(
      {.driver = "ship_pie",
       .words = {"plugin", "ship_plugin.so", "--knee-ship", built("libraries/ship_plugin.so")},
       .library_folders = library_folders()});
  const auto said = run.failure();
  CHECK(count_of(said, "'ship_plugin.so' is not loaded in this process") == 1);
}

TEST_CASE("a task function of a plugin that was not shipped fails, saying how to ship it") {
  DriverRun run({.driver = "ship_pie",
                 .words = {"plugin", "ship_plugin.so"},
                 .library_folders = library_folders()});
  const auto said = run.failure();
  CHECK(count_of(said,
                 "'ship_plugin.so', which was loaded after the program had been shipped: "
                 "name it in ClusterOptions.ship") == 1);
}

TEST_CASE("a task that ends by an illegal instruction says what the slave's processor lacks") {
  DriverRun run({.driver = "ship_pie", .words = {"sigill"}});
  const auto said = run.failure();
  CHECK(count_of(said, "SIGILL") == 1);
  CHECK(count_of(said, "processor has all that this machine's has") == 1);
}
