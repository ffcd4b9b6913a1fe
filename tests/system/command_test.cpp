#include <knee/knee.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include <boost/asio/use_future.hpp>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/slave_process.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Command;
using knee::Error;

namespace {

namespace fs = std::filesystem;

/// A slave and a driver that only runs commands.
struct Place {
  explicit Place(unsigned slots = 2) : slave({.slots = slots}), cluster(options()) {}

  knee::ClusterOptions options() const {
    auto all = reaching(slave);
    all.commands_only = true;
    return all;
  }

  SlaveProcess slave;
  knee::Cluster cluster;
};

Command shell(const std::string& script) {
  Command command;
  command.arguments = {"sh", "-c", script};
  return command;
}

std::string write_file(const std::string& path, const std::string& content, mode_t mode = 0644) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << content;
  ::chmod(path.c_str(), mode);
  return path;
}

Error error_of(knee::Promise<knee::CommandResult> promise) {
  try {
    promise.get();
  } catch (const Error& error) {
    return error;
  }
  FAIL("the command has not failed");
  throw std::logic_error("not reached");
}

/// Folders of commands that are on the slave now.
std::size_t scratch_folders(const SlaveProcess& slave) {
  std::size_t count = 0;
  std::error_code gone;
  for (fs::recursive_directory_iterator at(slave.scratch(), gone), end; !gone && at != end;
       at.increment(gone))
    count += at->path().filename().string().starts_with("command-");
  return count;
}

}  // namespace

TEST_CASE("a command's exit code, output and place come back") {
  Place place;
  const auto result = place.cluster.run(shell("echo out; echo err >&2; exit 7")).get();
  CHECK(result.exit_code == 7);
  CHECK(result.signal == 0);
  CHECK(result.out == "out\n");
  CHECK(result.err == "err\n");
  CHECK_FALSE(result.cut);
  CHECK(result.slave == "gandalf");
  CHECK(result.run_time > 0ns);
}

TEST_CASE("a command killed by a signal ends with 128 and the signal") {
  Place place;
  const auto result = place.cluster.run(shell("kill -TERM $$")).get();
  CHECK(result.signal == SIGTERM);
  CHECK(result.exit_code == 128 + SIGTERM);
}

TEST_CASE("a command's result reaches then and completion tokens") {
  Place place;
  auto bag = place.cluster.bag({.name = "two"});
  std::string out;
  bag.run(shell("echo to then")).then([&](knee::CommandResult result) { out = result.out; });
  bag.wait();
  CHECK(out == "to then\n");
  auto future = place.cluster.run(shell("echo to a future")).async_wait(boost::asio::use_future);
  CHECK(future.get().out == "to a future\n");
}

TEST_CASE("standard input is what the command is given, short or long") {
  Place place;
  Command command;
  command.arguments = {"cat"};
  CHECK(place.cluster.run(command).get().out.empty());
  command.input = "a line\n";
  CHECK(place.cluster.run(command).get().out == "a line\n");
  command.input.assign(3'000'000, 'x');
  command.input += "end";
  CHECK(place.cluster.run(command).get().out == command.input);
}

TEST_CASE("input files and folders are there with their modes, and outputs come back") {
  Place place;
  const TemporaryFolder here;
  Command command = shell(
      "mkdir -p made/deep && ./tool.sh data/a.txt > made/deep/result && cp tool.sh made/ && "
      "cat other");
  command.inputs = {
      {.path = write_file(here / "tool.sh", "#!/bin/sh\ntr a-z A-Z < $1\n", 0755), .name = ""},
      {.path = fs::path(write_file(here / "data/a.txt", "text")).parent_path(), .name = ""},
      {.path = here / "data/a.txt", .name = "other"}};
  command.outputs = {"made", "made/deep/result", "not/there"};
  const auto result = place.cluster.run(command).get();
  REQUIRE(result.err == "");
  CHECK(result.out == "text");
  REQUIRE(result.files.size() == 3);
  CHECK(result.files[0].name == "made/deep/result");
  CHECK(result.files[0].content == "TEXT");
  CHECK_FALSE(result.files[0].executable);
  CHECK(result.files[1].name == "made/tool.sh");
  CHECK(result.files[1].executable);
  CHECK(result.files[2].name == "made/deep/result");
  CHECK(result.missing == std::vector<std::string>{"not/there"});
}

TEST_CASE("links in folders travel as copies of the files they lead to") {
  Place place;
  const TemporaryFolder here;
  write_file(here / "in/libx.so.1", "library ");
  write_file(here / "else/data", "outside ");
  fs::create_symlink("libx.so.1", here / "in/libx.so");
  fs::create_symlink("../else/data", here / "in/data");
  fs::create_symlink("nowhere", here / "in/broken");
  Command command = shell(
      "cat in/libx.so in/libx.so.1 in/data; ls in; mkdir out; echo one > out/run1; "
      "ln -s run1 out/latest; echo outside > data; ln -s ../data out/up; ln -s nowhere out/broken");
  command.inputs = {{.path = here / "in", .name = ""}};
  command.outputs = {"out"};
  const auto result = place.cluster.run(command).get();
  CHECK(result.err == "");
  CHECK(result.out == "library library outside data\nlibx.so\nlibx.so.1\n");
  REQUIRE(result.files.size() == 3);
  CHECK(result.files[0].name == "out/latest");
  CHECK(result.files[0].content == "one\n");
  CHECK(result.files[1].name == "out/run1");
  CHECK(result.files[1].content == "one\n");
  CHECK(result.files[2].name == "out/up");
  CHECK(result.files[2].content == "outside\n");
  CHECK(result.missing.empty());
}

TEST_CASE("an input named like the command is the command") {
  Place place;
  const TemporaryFolder here;
  Command command;
  command.arguments = {"greet", "you"};
  command.inputs = {
      {.path = write_file(here / "x", "#!/bin/sh\necho hello $1\n", 0755), .name = "greet"}};
  CHECK(place.cluster.run(command).get().out == "hello you\n");
}

TEST_CASE("a hundred commands share one input") {
  Place place;
  const TemporaryFolder here;
  const auto path = write_file(here / "big", std::string(5'000'000, 'b'));
  auto bag = place.cluster.bag({.name = "many"});
  std::size_t right = 0;
  for (int i = 0; i < 100; ++i) {
    Command command = shell("wc -c < big");
    command.inputs = {{.path = path, .name = ""}};
    bag.run(command).then([&](knee::CommandResult result) { right += result.out == "5000000\n"; });
  }
  bag.wait();
  CHECK(right == 100);
  CHECK(wait_until([&] { return scratch_folders(place.slave) == 0; }));
}

TEST_CASE("an output of 100 MB arrives whole") {
  Place place;
  Command command = shell("head -c 100000000 /dev/zero > big; printf end >> big");
  command.outputs = {"big"};
  const auto result = place.cluster.run(command).get();
  REQUIRE(result.files.size() == 1);
  REQUIRE(result.files[0].content.size() == 100'000'003);
  CHECK(result.files[0].content.ends_with(std::string("\0end", 4)));
  // It went past the slave's memory.
  CHECK(resident_memory_of(place.slave.pid()) < 80'000'000 * kMemorySlack);
}

TEST_CASE("a command with more large outputs than the slave has descriptors fails and says so") {
  SlaveProcess slave({.slots = 1, .around = {"sh", "-c", R"(ulimit -n 128; exec "$0" "$@")"}});
  auto options = reaching(slave);
  options.commands_only = true;
  knee::Cluster cluster(options);
  Command command = shell(
      "mkdir out; i=0; while [ $i -lt 200 ]; do head -c 70000 /dev/zero > out/$i; i=$((i+1)); "
      "done; "
      "head -c 100000 /dev/zero");
  command.outputs = {"out"};
  const auto error = error_of(cluster.run(command, {.attempts = 1}));
  CHECK(error.kind() == Error::Kind::refused);
  CHECK_THAT(error.what(),
             Contains("gandalf") && Contains("'out/") && Contains("128") && Contains("ulimit -n"));
  command = shell("head -c 70000 /dev/zero > big; head -c 100000 /dev/zero");
  command.outputs = {"big"};
  const auto result = cluster.run(command).get();
  CHECK(result.out.size() == 100'000);
  REQUIRE(result.files.size() == 1);
  CHECK(result.files[0].content.size() == 70'000);
}

// UndefinedBehaviorSanitizer looks at types with the help of a pipe, and ends a slave that has
// none.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a command whose result the slave has no descriptor for fails and gives its slot back") {
  Place place(1);
  const TemporaryFolder here;
  auto promise =
      place.cluster.run(shell("head -c 100000 /dev/zero; echo started >> " + here / "marks" +
                              "; until [ -e " + here / "go" + " ]; do sleep 0.02; done"),
                        {.attempts = 1});
  wait_for_marks(here / "marks");
  rlimit before{};
  REQUIRE(::prlimit(place.slave.pid(), RLIMIT_NOFILE, nullptr, &before) == 0);
  // What it has stays open.
  const rlimit none{1, before.rlim_max};
  REQUIRE(::prlimit(place.slave.pid(), RLIMIT_NOFILE, &none, nullptr) == 0);
  write_file(here / "go", "");
  const auto error = error_of(std::move(promise));
  CHECK(error.kind() == Error::Kind::refused);
  CHECK_THAT(error.what(), Contains("gandalf") && Contains("the command has ended") &&
                               Contains("Too many open files"));
  REQUIRE(::prlimit(place.slave.pid(), RLIMIT_NOFILE, &before, nullptr) == 0);
  CHECK(place.cluster.run(shell("echo next")).get().out == "next\n");
}
#endif

TEST_CASE("output that is kept is cut at 16 MiB, and said to be") {
  Place place;
  const auto result = place.cluster.run(shell("head -c 20000000 /dev/zero")).get();
  CHECK(result.out.size() == 16 * 1024 * 1024);
  CHECK(result.cut);
}

TEST_CASE("a command runs in the folder and environment it asks for") {
  Place place;
  Command command = shell("pwd; echo $FLAVOUR; echo made > file");
  command.environment = {"FLAVOUR=sour"};
  command.folder = place.slave.folder();
  command.outputs = {"file"};
  const auto result = place.cluster.run(command).get();
  CHECK(result.out == place.slave.folder() + "\nsour\n");
  REQUIRE(result.files.size() == 1);
  CHECK(result.files[0].content == "made\n");
  CHECK(fs::exists(place.slave.folder() + "/file"));
}

TEST_CASE("a command that is not found is refused with the slave's name and PATH") {
  Place place;
  Command command;
  command.arguments = {"no-such-program"};
  const auto error = error_of(place.cluster.run(command));
  CHECK(error.kind() == Error::Kind::refused);
  CHECK_THAT(error.what(),
             Contains("gandalf") && Contains("'no-such-program'") && Contains("/bin"));
  command.arguments = {"/no/such/program"};
  CHECK_THAT(error_of(place.cluster.run(command)).what(),
             Contains("gandalf") && Contains("/no/such/program") && Contains("No such file"));
}

TEST_CASE("what cannot be run anywhere is said at the call") {
  Place place;
  CHECK_THROWS_WITH(place.cluster.run(Command{}), Contains("no arguments"));
  Command command = shell("true");
  command.outputs = {"../else"};
  CHECK_THROWS_WITH(place.cluster.run(command), Contains("../else"));
  command.outputs = {};
  command.inputs = {{.path = "/no/such/file", .name = ""}};
  CHECK_THROWS_WITH(place.cluster.run(command),
                    Contains("/no/such/file") && Contains("No such file"));
  command.inputs = {{.path = "/etc/passwd", .name = "a/b"},
                    {.path = "/etc/group", .name = "a/./b"}};
  CHECK_THROWS_WITH(place.cluster.run(command), Contains("'a/./b'") && Contains("/etc/group"));
}

TEST_CASE("a function cannot be called where only commands run") {
  Place place;
  CHECK_THROWS_WITH(place.cluster.call([] { return 1; }), Contains("commands_only"));
}

TEST_CASE("commands and functions share a slave") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag({.name = "mixed"});
    int sum = 0;
    for (int i = 0; i < 50; ++i) {
      bag.call([](int x) { return x; }, 1).then([&](int x) { sum += x; });
      bag.run(shell("echo 10")).then([&](knee::CommandResult r) { sum += std::stoi(r.out); });
    }
    bag.wait();
    CHECK(sum == 50 * 11);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a command over its time limit is killed with all it started") {
  Place place;
  const TemporaryFolder here;
  const auto error = error_of(place.cluster.run(
      shell("setsid sleep 1000 & echo $! > " + here / "child" + "; wait"), {.timeout = 300ms}));
  CHECK(error.kind() == Error::Kind::timeout);
  CHECK(wait_until([&] { return place.slave.family().empty(); }));
}

TEST_CASE("a cancelled command gets SIGTERM, and its grandchildren do not outlive it") {
  Place place;
  const TemporaryFolder here;
  auto promise = place.cluster.run(shell("trap 'echo term >> " + here / "marks" +
                                         "; exit 0' TERM; setsid sleep 1000 & echo started >> " +
                                         here / "marks" + "; wait"));
  wait_for_marks(here / "marks");
  promise.cancel();
  CHECK(error_of(std::move(promise)).kind() == Error::Kind::cancelled);
  CHECK(marks_in(here / "marks") == std::vector<std::string>{"started", "term"});
  CHECK(wait_until([&] { return place.slave.family().empty(); }));
}

TEST_CASE("a cancelled command that ignores SIGTERM is killed after the grace") {
  Place place;
  const TemporaryFolder here;
  auto promise = place.cluster.run(
      shell("trap '' TERM; echo started >> " + here / "marks" + "; while :; do sleep 0.1; done"));
  wait_for_marks(here / "marks");
  promise.cancel();
  const auto took =
      time_of([&] { CHECK(error_of(std::move(promise)).kind() == Error::Kind::cancelled); });
  CHECK(took > 500ms);
  CHECK(wait_until([&] { return place.slave.family().empty(); }));
}

TEST_CASE("a signal is passed on to a running command") {
  Place place;
  const TemporaryFolder here;
  auto promise = place.cluster.run(shell("trap 'exit 42' INT; echo started >> " + here / "marks" +
                                         "; while :; do sleep 0.05; done"));
  wait_for_marks(here / "marks");
  promise.signal(SIGINT);
  CHECK(promise.get().exit_code == 42);
}

TEST_CASE("two commands run at once on two slots, a third waits") {
  Place place(2);
  const TemporaryFolder here;
  // Each of the two waits for the other.
  const auto meet = [&](const std::string& mine, const std::string& other) {
    return shell("touch " + here / mine + "; until [ -e " + here / other +
                 " ]; do sleep 0.02; done");
  };
  auto one = place.cluster.run(meet("a", "b"));
  auto two = place.cluster.run(meet("b", "a"));
  auto three = place.cluster.run(shell("true"));
  CHECK(one.get().exit_code == 0);
  CHECK(two.get().exit_code == 0);
  CHECK(three.get().exit_code == 0);
}

TEST_CASE("a command's scratch folder and processes are gone when its driver goes") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder here;
  {
    auto options = reaching(slave);
    options.commands_only = true;
    knee::Cluster cluster(options);
    auto promise =
        cluster.run(shell("echo x > file; echo started >> " + here / "marks" + "; sleep 1000"));
    wait_for_marks(here / "marks");
    CHECK(scratch_folders(slave) == 1);
  }
  CHECK(wait_until([&] { return slave.family().empty(); }));
  CHECK(wait_until([&] { return scratch_folders(slave) == 0; }));
  CHECK(leaks.found() == "");
}

TEST_CASE("a command whose slave is killed runs again when the slave is back") {
  SlaveProcess slave;
  auto options = reaching(slave);
  options.commands_only = true;
  knee::Cluster cluster(options);
  const TemporaryFolder here;
  auto promise = cluster.run(shell("echo started >> " + here / "marks" + "; [ $(wc -l < " +
                                   here / "marks" + ") -ge 2 ] || sleep 1000"));
  wait_for_marks(here / "marks");
  slave.kill();
  slave.start();
  CHECK(promise.get().exit_code == 0);
  CHECK(marks_in(here / "marks").size() == 2);
}
