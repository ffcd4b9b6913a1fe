#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

/// The slave that this driver has started.
pid_t slave_of(const ChildProcess& driver) {
  pid_t slave = 0;
  REQUIRE(wait_until([&] {
    const auto family = descendants_with(driver.pid(), "--inherited");
    if (!family.empty()) slave = family.front();
    return slave != 0;
  }));
  return slave;
}

bool all_gone(const std::vector<pid_t>& processes) {
  return wait_until([&] {
    return std::none_of(processes.begin(), processes.end(),
                        [](pid_t pid) { return is_alive(pid); });
  });
}

/// Its environment, entry by entry with a newline before each.
std::string environment_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::replace(text.begin(), text.end(), '\0', '\n');
  return "\n" + text;
}

/// The numbers in one column of a table in /proc, of the lines that have `value` in another one.
void add_column(std::set<std::string>& numbers, const std::string& table, std::size_t column,
                std::size_t where, const std::string& value) {
  std::istringstream text(content_of(table));
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    const std::vector<std::string> row{std::istream_iterator<std::string>(words), {}};
    if (row.size() > std::max(column, where) && row[where] == value) numbers.insert(row[column]);
  }
}

/// The descriptors of a process that are sockets on which somebody may connect to it.
std::vector<std::string> listeners_of(pid_t pid) {
  const std::string net = "/proc/" + std::to_string(pid) + "/net/";
  std::set<std::string> listening;                        // inodes
  add_column(listening, net + "unix", 6, 3, "00010000");  // its flag __SO_ACCEPTCON
  for (const char* tcp : {"tcp", "tcp6"}) add_column(listening, net + tcp, 9, 3, "0A");
  auto found = descriptors_of(pid);
  std::erase_if(found, [&](const std::string& descriptor) {
    const std::string words = "socket:[";
    const auto at = descriptor.find(words);
    if (at == std::string::npos) return true;
    const auto begin = at + words.size();
    return !listening.contains(descriptor.substr(begin, descriptor.find(']', begin) - begin));
  });
  return found;
}

/// A driver in a folder of its own, and other places where a knee-slave may be. Each of these
/// leaves a mark with its place's name and is the real one then.
class Places {
 public:
  Places() {
    fs::create_directory(folder_ / "bin");
    fs::create_directory(folder_ / "path");
    fs::copy_file(own_path(), folder_ / "bin/driver");
  }
  std::string named() const { return folder_ / "named"; }
  std::string beside() const { return folder_ / "bin/knee-slave"; }
  std::string in_path() const { return folder_ / "path/knee-slave"; }

  void put(const std::string& place, const std::string& name) const {
    std::ofstream(place) << "#!/bin/sh\necho " << name << " >>" << marks() << "\nexec "
                         << ::getenv("KNEE_SLAVE") << " \"$@\"\n";
    fs::permissions(place, fs::perms::owner_all);
  }

  ChildProcess driver(const std::string& knee_slave) const {
    return ChildProcess({.arguments = {folder_ / "bin/driver", "--driver", "call_one"},
                         .environment = {{"KNEE_SLAVE", knee_slave},
                                         {"PATH", (folder_ / "path") + ":/usr/bin:/bin"}}});
  }
  /// Which one is started.
  std::string found(const std::string& knee_slave) const {
    fs::remove(marks());
    auto one = driver(knee_slave);
    const int code = one.wait();
    INFO(one.err());
    CHECK(code == 0);
    const auto names = marks_in(marks());
    return names.empty() ? "another one" : names.front();
  }

 private:
  std::string marks() const { return folder_ / "marks"; }
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("the local slave and its workers are gone after the driver's normal end") {
  const TemporaryFolder folder;
  DriverProcess driver({.part = "hold", .arguments = {folder / "started", folder / "go"}});
  wait_for_marks(folder / "started");
  auto family = descendants_of(driver.pid());
  CHECK(descendants_with(driver.pid(), "--inherited").size() == 1);
  CHECK(family.size() >= 2);
  leave_mark(folder / "go", "");
  CHECK(driver.wait() == 0);
  CHECK(all_gone(family));
}

TEST_CASE("the local slave and its workers are gone after the driver was killed") {
  const TemporaryFolder folder;
  DriverProcess driver({.part = "hang", .arguments = {folder / "started", "1"}});
  wait_for_marks(folder / "started");
  const auto family = descendants_of(driver.pid());
  CHECK(is_alive(slave_of(driver)));
  driver.kill();
  CHECK(all_gone(family));
}

TEST_CASE("the local slave listens nowhere, and neither do its workers") {
  const TemporaryFolder folder;
  DriverProcess driver({.part = "hold", .arguments = {folder / "started", folder / "go"}});
  wait_for_marks(folder / "started");
  CHECK(is_alive(slave_of(driver)));
  for (const pid_t pid : descendants_of(driver.pid())) {
    INFO(command_line_of(pid));
    CHECK(listeners_of(pid) == std::vector<std::string>{});
  }
  // Of a slave that listens it shows.
  CHECK_FALSE(listeners_of(SlaveProcess().pid()).empty());
  CHECK_FALSE(listeners_of(SlaveProcess({.tcp = true}).pid()).empty());
  leave_mark(folder / "go", "");
  CHECK(driver.wait() == 0);
}

TEST_CASE("knee-slave is looked for in $KNEE_SLAVE, then beside the executable, then in PATH") {
  const Places places;
  places.put(places.named(), "named");
  places.put(places.beside(), "beside");
  places.put(places.in_path(), "in path");
  CHECK(places.found(places.named()) == "named");
  CHECK(places.found("") == "beside");
  fs::remove(places.beside());
  // One that was installed comes before PATH.
  const std::string last = places.found("");
  CHECK((last == "in path" || last == "another one"));
}

TEST_CASE("a KNEE_SLAVE that is not there is an error, whatever there is elsewhere") {
  const Places places;
  places.put(places.beside(), "beside");
  auto driver = places.driver("/nonexistent/knee-slave");
  CHECK(driver.wait() != 0);
  CHECK_THAT(driver.err(), Contains("cannot find knee-slave") && Contains("set KNEE_SLAVE") &&
                               Contains("\n  /nonexistent/knee-slave") &&
                               !Contains(places.beside()));
}

TEST_CASE("without any knee-slave the error lists where it was looked for, in that order") {
  const Places places;
  auto driver = places.driver("");
  if (driver.wait() == 0) {
    WARN("knee-slave is installed on this machine: nothing to see");
    return;
  }
  const std::string said = driver.err();
  INFO(said);
  const auto beside = said.find("\n  " + places.beside());
  const auto in_path = said.find("\n  " + places.in_path());
  REQUIRE(beside != std::string::npos);
  REQUIRE(in_path != std::string::npos);
  CHECK(beside < in_path);
  // Those in between are the places of an installed one.
  CHECK(count_of(said.substr(beside + 1, in_path - beside), "/knee-slave\n") >= 2);
  CHECK_THAT(said,
             Contains("cannot find knee-slave") && Contains("install Knee, or set KNEE_SLAVE"));
}

TEST_CASE("a program with the mark of a worker that is none of its own is an ordinary driver") {
  const TemporaryFolder folder;
  DriverProcess driver({.part = "hang",
                        .arguments = {folder / "started", "1"},
                        .environment = {{"KNEE_WORKER", "3:1"}}});
  wait_for_marks(folder / "started");
  // Not in what it starts, where the number could be right by chance.
  CHECK_THAT(environment_of(driver.pid()), Contains("\nKNEE_WORKER=3:1\n"));
  CHECK_THAT(environment_of(slave_of(driver)), !Contains("KNEE_WORKER"));
}
