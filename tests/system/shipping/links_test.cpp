// Drivers that are linked in every way that matters.
#include <catch2/catch.hpp>

#include <filesystem>

#include "driver_run.h"

using namespace knee::test;

namespace {

std::string value_of(const std::string& text, const std::string& key) {
  const auto at = ("\n" + text).find("\n" + key + "=");
  if (at == std::string::npos) return "(missing)";
  const auto begin = at + key.size() + 1;
  return text.substr(begin, text.find('\n', begin) - begin);
}

const std::vector<std::string> kDrivers{"ship_pie",    "ship_no_pie",     "ship_stripped",
                                        "ship_lto",    "ship_gold_icf",   "ship_asan",
                                        "ship_static", "ship_static_pie", "ship_relinked"};

/// The one that is linked with gold, which not every machine has.
const std::string kGold = "ship_gold_icf";

bool is_built(const std::string& driver) {
  return std::filesystem::exists(built(driver));
}

/// Those to be tested: all, but for the one that needs gold where there is none.
std::vector<std::string> drivers() {
  std::vector<std::string> all;
  for (const auto& name : kDrivers) {
    const auto file = name == "ship_relinked" ? "relinked/ship_pie" : name;
    if (name != kGold || is_built(file)) all.push_back(file);
  }
  return all;
}

}  // namespace

TEST_CASE(
    "each task of two files with equal names runs its own code, however the driver is linked") {
  const SlaveProcess slave({.own_store = true});
  for (const auto& driver : drivers()) {
    INFO(driver);
    CHECK(printed_by({.driver = driver, .words = {"twins"}, .slaves = {slave.address()}}) ==
          kTwins);
  }
}

TEST_CASE("every driver is built, unless there is no gold to link it with") {
  for (const auto& driver : drivers()) {
    INFO(driver);
    CHECK(is_built(driver));
  }
  if (is_installed("ld.gold"))
    CHECK(is_built(kGold));
  else
    skip("gold is not installed");
}

TEST_CASE("a linker that folds equal functions into one has done so, and others have not") {
  if (!is_built(kGold)) return skip("gold is not installed");
  CHECK(printed_by({.driver = kGold, .words = {"folded"}}) == "one function\n");
  CHECK(printed_by({.driver = "ship_pie", .words = {"folded"}}) == "two functions\n");
}

TEST_CASE("of equal tasks that fail each is called by its own name, however the driver is linked") {
  const SlaveProcess slave({.own_store = true});
  for (const auto& driver : drivers()) {
    const auto said =
        printed_by({.driver = driver, .words = {"twin-failures"}, .slaves = {slave.address()}});
    INFO(driver << " said:\n" << said);
    const auto of_b = said.find("fails_in_b");
    CHECK(said.find("fails_in_a") < of_b);
    CHECK(of_b != std::string::npos);
    CHECK(count_of(said, "no root of -1") == 2);
  }
}

TEST_CASE("a worker has the driver's name, argv[0] and environment, however the driver is linked") {
  const SlaveProcess slave({.own_store = true});
  for (const auto& driver : drivers()) {
    INFO(driver);
    const auto said =
        printed_by({.driver = driver, .words = {"look"}, .slaves = {slave.address()}});
    const auto name = std::filesystem::path(driver).filename().string();
    CHECK(value_of(said, "exe") == name);
    CHECK(value_of(said, "comm") == name.substr(0, 15));
    CHECK(value_of(said, "argv0") == built(driver));
    CHECK(value_of(said, "library_path") == "(unset)");
  }
}

TEST_CASE("a task can start its own program again") {
  const SlaveProcess slave({.own_store = true});
  for (const auto& driver : drivers()) {
    INFO(driver);
    const auto said =
        printed_by({.driver = driver, .words = {"again"}, .slaves = {slave.address()}});
    CHECK(count_of(said, "hello from the same program") == 1);
    CHECK(count_of(said, kTwins) == 1);
  }
}

TEST_CASE("what a task starts does not use the shipped libraries") {
  const auto said = printed_by(
      {.driver = "ship_pie", .words = {"command", "echo lib=$LD_LIBRARY_PATH; ldd /bin/ls"}});
  CHECK(count_of(said, "lib=\n") == 1);
  CHECK(count_of(said, "/program/lib/") == 0);
  CHECK(count_of(said, "libc.so.6 =>") == 1);
}

TEST_CASE("a debugger that attaches to a worker sees the task's function") {
  if (!is_installed("gdb")) return skip("gdb is not installed");
  for (const auto* driver :
       {"ship_pie", "ship_no_pie", "ship_lto", "ship_static", "ship_static_pie"}) {
    INFO(driver);
    const auto said = printed_by({.driver = driver, .words = {"debugger"}});
    if (count_of(said, "ptrace: Operation not permitted") != 0)
      return skip("the kernel forbids to attach a debugger here");
    INFO(said);
    CHECK(count_of(said, "attach_a_debugger") >= 1);
    CHECK(count_of(said, "main (") + count_of(said, " main ()") >= 1);
  }
}

TEST_CASE("a driver runs under gdb") {
  if (!is_installed("gdb")) return skip("gdb is not installed");
  const auto said = printed_by({.driver = "ship_pie",
                                .words = {"twins"},
                                .around = {"gdb", "-nx", "-batch", "-ex", "run", "--args"}});
  INFO(said);
  CHECK(count_of(said, kTwins) == 1);
  CHECK(count_of(said, "exited normally") == 1);
}

TEST_CASE("a driver runs under valgrind, which finds nothing wrong") {
  if (!is_installed("valgrind")) return skip("valgrind is not installed");
  DriverRun run({.driver = "ship_pie",
                 .words = {"twins"},
                 .around = {"valgrind", "--quiet", "--error-exitcode=9"}});
  CHECK(run.printed(std::chrono::seconds(300)) == kTwins);
}
