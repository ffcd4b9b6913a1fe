#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "behaviour.h"
#include "common/process/keeper.h"
#include "witness.h"

using namespace knee::process;
using namespace knee::test;

namespace {

/// A folder that is removed at the end.
class TempFolder {
 public:
  TempFolder() {
    std::string name = std::filesystem::temp_directory_path() / "knee-process-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::string read_file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::string shell() {
  return std::filesystem::canonical("/bin/sh").string();
}

SpawnPlan shell_plan(const std::string& script) {
  SpawnPlan plan;
  plan.executable = "sh";
  plan.search_path = true;
  plan.arguments = {"sh", "-c", script};
  plan.environment = {"PATH=/usr/bin:/bin"};
  return plan;
}

}  // namespace

TEST_CASE("an executable that does not exist is reported with errno and path") {
  SpawnPlan plan;
  plan.executable = "/nowhere/pi";
  const auto story = run(plan);
  CHECK_FALSE(story.started);
  CHECK_FALSE(story.death);
  REQUIRE(story.failed);
  CHECK(story.failed->error == ENOENT);
  CHECK(story.failed->object == "/nowhere/pi");
  CHECK(story.failed->describe().starts_with(
      "cannot execute '/nowhere/pi': No such file or directory"));
  CHECK(story.gone);
}

TEST_CASE("a file that is no program, a folder that is none, and a CPU that is none are reported") {
  const TempFolder folder;
  std::ofstream(folder.file("data")) << "not a program";
  SpawnPlan plan;
  plan.executable = folder.file("data");
  CHECK(run(plan).failed->error == EACCES);
  std::filesystem::permissions(plan.executable, std::filesystem::perms::owner_all);
  CHECK(run(plan).failed->error == ENOEXEC);

  auto lost = plan_of("exit_with");
  lost.cwd = "/nowhere";
  CHECK(run(lost).failed == StartFailed{ENOENT, "enter folder", "/nowhere"});

  auto unbound = plan_of("exit_with");
  unbound.cpus = std::vector<int>{60000};
  CHECK(run(unbound).failed == StartFailed{EINVAL, "bind to processors", "60000"});
}

TEST_CASE("a worker gets 0, 1, 2 and the named descriptors, and no others") {
  const Descriptor inherited(::open("/", O_RDONLY));  // not close-on-exec
  const Descriptor passed(::open("/", O_RDONLY | O_CLOEXEC));
  auto plan = plan_of("describe_self");
  plan.descriptors = {{passed.get(), 5}, {passed.get(), 900}};
  CHECK_THAT(output_of(plan), Catch::Contains("descriptors=0 1 2 5 900 \n"));
}

TEST_CASE("descriptors arrive at numbers that are in use on the way") {
  const TempFolder folder;
  auto plan = shell_plan("for n in 3 4 5 6 7 8 9; do read line <&$n; echo $n=$line; done");
  std::vector<Descriptor> files;
  std::string expected;
  for (int number = 9; number >= 3; --number) {
    const auto path = folder.file(std::to_string(number));
    std::ofstream(path) << "text " << number << '\n';
    files.emplace_back(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    plan.descriptors.push_back({files.back().get(), number});
    expected.insert(0, std::to_string(number) + "=text " + std::to_string(number) + "\n");
  }
  CHECK(output_of(plan) == expected);
}

TEST_CASE("a program whose interpreter is an open file runs, and finds that file closed") {
  const std::string interpreter = "/lib64/ld-linux-x86-64.so.2";
  const std::string by_number = "/proc/self/fd/999";
  auto bytes = read_file(shell());
  const auto place = bytes.find(interpreter);
  if (place == std::string::npos) return;  // a shell linked in another way
  bytes.replace(place, interpreter.size(),
                by_number + std::string(interpreter.size() - by_number.size(), '\0'));
  const TempFolder folder;
  std::ofstream(folder.file("sh"), std::ios::binary) << bytes;
  std::filesystem::permissions(folder.file("sh"), std::filesystem::perms::owner_all);
  const Descriptor loader(::open(interpreter.c_str(), O_RDONLY | O_CLOEXEC));

  SpawnPlan plan;
  plan.executable = folder.file("sh");
  plan.arguments = {"sh", "-c", "if test -e /proc/self/fd/999; then exit 5; else exit 6; fi"};
  CHECK(run(plan).failed->error == ENOENT);
  plan.descriptors = {{loader.get(), 999, true}};
  const auto story = run(plan);
  REQUIRE(story.death);
  CHECK(story.death->exit_code == 6);
}

TEST_CASE("an open file can be executed instead of a path") {
  const Descriptor file(::open(shell().c_str(), O_RDONLY | O_CLOEXEC));
  SpawnPlan plan;
  plan.executable = "the shell";
  plan.executable_fd = file.get();
  plan.arguments = {"sh", "-c", "exit 7"};
  plan.descriptors = {{file.get(), 4}};  // where the keeper itself may hold it
  const auto story = run(plan);
  REQUIRE(story.death);
  CHECK(story.death->exit_code == 7);
}

TEST_CASE("a worker starts with default signals, an empty mask and a session of its own") {
  sigset_t usr2;
  ::sigemptyset(&usr2);
  ::sigaddset(&usr2, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &usr2, nullptr);
  const auto text = output_of(plan_of("describe_self"));
  ::sigprocmask(SIG_UNBLOCK, &usr2, nullptr);
  CHECK_THAT(text, Catch::Contains("SigBlk:\t0000000000000000\n"));
  CHECK_THAT(text, Catch::Contains("SigIgn:\t0000000000000000\n"));
  CHECK_THAT(text, Catch::Contains("session=1\ngroup=1\n"));
}

TEST_CASE("a pipe closed early ends its writer silently, though the slave ignores SIGPIPE") {
  REQUIRE(::signal(SIGPIPE, SIG_IGN) == SIG_IGN);
  CHECK(output_of(shell_plan("yes | head -1")) == "y\n");
}

TEST_CASE("environment, folder, CPUs and open files are what the plan says; umask is kept") {
  const TempFolder folder;
  auto plan = plan_of("describe_self");
  plan.environment = {"ONE=1", "TWO=with = sign"};
  plan.cwd = folder.path();
  cpu_set_t mine;
  ::sched_getaffinity(0, sizeof mine, &mine);
  int cpu = 0;
  while (!CPU_ISSET(cpu, &mine)) ++cpu;
  plan.cpus = std::vector<int>{cpu};
  plan.open_files = 256;
  plan.oom_score_more = 1000;
  const mode_t before = ::umask(027);
  const auto text = output_of(plan);
  ::umask(before);
  CHECK_THAT(text, Catch::Contains("files=256\ncpus=1\noom=1000\numask=23\n"));
  CHECK_THAT(text, Catch::Contains("cwd=" + folder.path() + "\n"));
  CHECK_THAT(text, Catch::Contains("env:ONE=1\nenv:TWO=with = sign\n"));
}

TEST_CASE("standard input is empty unless given") {
  CHECK_THAT(output_of(plan_of("describe_self")), Catch::Contains("input=-1\n"));
  const TempFolder folder;
  std::ofstream(folder.file("input")) << "A";
  const Descriptor input(::open(folder.file("input").c_str(), O_RDONLY | O_CLOEXEC));
  auto plan = plan_of("describe_self");
  plan.descriptors = {{input.get(), 0}};
  CHECK_THAT(output_of(plan), Catch::Contains("input=65\n"));
}

TEST_CASE("a megabyte of environment arrives whole") {
  auto plan = plan_of("describe_self");
  for (int i = 0; i < 16; ++i) {
    plan.environment.push_back("V" + std::to_string(i) + "=" + std::string(65'000, 'e'));
  }
  CHECK(output_of(plan).size() > 16 * 65'000);
}

TEST_CASE(
    "a program that somebody holds open for writing for a moment is started when he lets go") {
  const TempFolder folder;
  const std::string copy = folder.file("sh");
  std::filesystem::copy_file(shell(), copy);
  int writer = ::open(copy.c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(writer >= 0);
  std::thread lets_go([writer] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ::close(writer);
  });
  SpawnPlan plan;
  plan.executable = copy;
  plan.arguments = {"sh", "-c", "exit 3"};
  const auto story = run(plan);
  lets_go.join();
  REQUIRE(story.death);
  CHECK(story.death->exit_code == 3);
}

TEST_CASE("a program that stays open for writing is reported as busy") {
  const TempFolder folder;
  const std::string copy = folder.file("sh");
  std::filesystem::copy_file(shell(), copy);
  const Descriptor writer(::open(copy.c_str(), O_WRONLY | O_CLOEXEC));
  SpawnPlan plan;
  plan.executable = copy;
  const auto story = run(plan);
  REQUIRE(story.failed);
  CHECK(story.failed->error == ETXTBSY);
}
