#include <fcntl.h>
#include <knee/this_task.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <utility>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/terminal.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

/// Leaves a daemon behind, as a careless program does.
int leave_a_daemon(std::string file) {
  if (::fork() == 0) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGTERM, SIG_IGN);
    leave_mark(file, std::to_string(::getpid()));
    for (;;) ::pause();
  }
  ::wait(nullptr);
  wait_for_marks(file);
  return ::getpid();
}

/// Leaves so many processes whose parents have ended, and that end at once themselves.
int leave_orphans(int count) {
  for (int i = 0; i < count; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      (void)::fork();
      ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
  }
  return ::getpid();
}

std::string working_folder() {
  return std::filesystem::current_path();
}
void go_to_root() {
  std::filesystem::current_path("/");
}

int close_everything() {
  for (int fd = 0; fd < 1024; ++fd) ::close(fd);
  return 1;
}
/// As programs do that become daemons, and moves.
int close_small_numbers() {
  for (int fd = 3; fd < 256; ++fd) ::close(fd);
  return ::chdir("/");
}
std::string here_with(const std::string& text) {
  return std::filesystem::current_path().string() + text.back();
}
int write_over_output() {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(nowhere, 1);
  ::dup2(nowhere, 2);
  ::close(nowhere);
  std::puts("never seen");
  return 2;
}
int take_all_signals() {
  for (int number = 1; number < 32; ++number) ::signal(number, SIG_IGN);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  return 3;
}
void spin_deaf() {
  take_all_signals();
  for (;;) ::pause();
}

constexpr int kHandled[] = {SIGTERM, SIGSEGV, SIGALRM};

int handle_signals() {
  for (const int number : kHandled) ::signal(number, [](int) {});
  return 4;
}
/// How many of them do not have the default action.
int handled_signals() {
  int count = 0;
  for (const int number : kHandled) {
    struct sigaction action {};
    ::sigaction(number, nullptr, &action);
    count += action.sa_handler == SIG_DFL ? 0 : 1;
  }
  return count;
}
void fault_for_ever() {
  handle_signals();
  for (;;) ::raise(SIGSEGV);
}

std::string output_of_shell(std::string command) {
  std::string text;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  for (char buffer[256]; std::fgets(buffer, sizeof buffer, pipe) != nullptr;) text += buffer;
  return text + std::to_string(WEXITSTATUS(::pclose(pipe)));
}

struct Here {
  std::string slave;
  unsigned slot;
  unsigned attempt;
  bool cancelled;
};
Here look_around() {
  knee::this_task::progress(0.5);
  return {knee::this_task::slave(), knee::this_task::slot(), knee::this_task::attempt(),
          knee::this_task::cancelled()};
}

/// Where it ran, while it was held as `hold` is.
unsigned hold_a_slot(std::string started, std::string go) {
  const unsigned slot = knee::this_task::slot();
  hold(0, std::move(started), std::move(go));
  return slot;
}

int drive_a_cluster(int x) {
  knee::ClusterOptions options;
  options.slots = 1;
  options.progress = false;
  options.arguments = {"worker", kWorkerWord};
  knee::Cluster cluster(options);
  return cluster.call<twice>(x).get() + 1;
}

}  // namespace

TEST_CASE("how far a task says it is shows in the progress line") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  Terminal terminal;
  const LeakCheck leaks({&slave});
  DriverProcess driver({.part = "halfway",
                        .arguments = {folder / "started", folder / "go"},
                        .slaves = {slave.address()},
                        .terminal = terminal.name()});
  CHECK(terminal.wait_for("knee: 0 done, 1 running (at 50 %), 0 waiting, 1 slave"));
  leave_mark(folder / "go", "");
  CHECK(driver.wait() == 0);
  CHECK(leaks.found() == "");
}

TEST_CASE("a million lines of a task arrive in order, each with its slave's name") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  DriverProcess driver({.part = "print", .arguments = {"1000000"}, .slaves = {slave.address()}});
  std::uint64_t most = 0;
  CHECK(wait_until(
      [&] {
        most = std::max(most, resident_memory_of(slave.pid()));
        return driver.wait(0s) != DriverProcess::kLivesOn;
      },
      60s));
  CHECK(driver.wait() == 0);
  CHECK_THAT(driver.err(), !Contains(" times"));
  CHECK(most < 200 * 1024 * 1024 * kMemorySlack);
  std::istringstream text(driver.out());
  int expected = 0;
  int wrong = 0;
  for (std::string line; std::getline(text, line);) {
    const bool right =
        line.starts_with("[gandalf:") && line.ends_with("] line " + std::to_string(expected));
    wrong += right ? 0 : 1;
    ++expected;
  }
  CHECK(wrong == 0);
  CHECK(expected == 1'000'000);
  CHECK(leaks.found() == "");
}

TEST_CASE("what a task prints appears while it runs, with its slave, its slot and its name") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  DriverProcess driver({.part = "print_and_hold",
                        .arguments = {folder / "started", folder / "go"},
                        .slaves = {slave.address()}});
  wait_for_marks(folder / "started", 2);
  const auto lines_of = [&](const std::string& name, const std::string& slot) {
    return count_of(driver.out(), "[gandalf:" + slot + " play: " + name + "] " + name +
                                      " is in slot " + slot + "\n");
  };
  CHECK(wait_until([&] {
    return lines_of("first", "0") + lines_of("first", "1") == 1 &&
           lines_of("second", "0") + lines_of("second", "1") == 1;
  }));
  CHECK(lines_of("first", "0") == lines_of("second", "1"));
  CHECK(driver.is_alive());
  leave_mark(folder / "go", "");
  CHECK(driver.wait() == 0);
  CHECK(count_of(driver.out(), "\n") == 2);
}

TEST_CASE("a daemon that a task leaves behind ends with its worker") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    Others others(cluster);
    cluster.call<leave_a_daemon>(folder / "daemon").get();
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
  CHECK_FALSE(is_alive(std::stoi(marks_in(folder / "daemon").at(0))));
}

TEST_CASE("a daemon that a task leaves behind ends when its slave is killed") {
  SlaveProcess slave;
  const LeakCheck leaks;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  cluster.call<leave_a_daemon>(folder / "daemon").get();
  slave.kill();
  const pid_t daemon = std::stoi(marks_in(folder / "daemon").at(0));
  CHECK(wait_until([&] { return !is_alive(daemon); }, 10s));
}

TEST_CASE("what a task has orphaned is waited for when it ends, while the worker lives on") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    const pid_t worker = cluster.call<leave_orphans>(20).get();
    CHECK(wait_until([&] { return zombies_below(slave.pid()).empty(); }));
    CHECK(is_alive(worker));
    CHECK(cluster.call<own_pid>().get() == worker);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task that changes the folder does not move the next one") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    const auto home = cluster.call<working_folder>().get();
    CHECK_THAT(home, Contains(slave.scratch()));
    Others others(cluster);
    cluster.call<go_to_root>().get();
    CHECK(cluster.call<working_folder>().get() == home);
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task that closes every descriptor costs at most its own worker") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    Tally results(20);
    const auto add = [&](int i) { bag.call<twice>(i).then([&](int x) { results.add(x / 2); }); };
    for (int i = 0; i < 10; ++i) add(i);
    auto closing = bag.call<close_everything>();
    for (int i = 10; i < 20; ++i) add(i);
    CHECK(closing.get() == 1);
    bag.wait();
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task that closes the small descriptors leaves the next one what it had") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    const std::string large(1'000'000, 'a');
    const auto before = cluster.call<here_with>(large).get();
    const auto workers = slave.workers();
    CHECK(cluster.call<close_small_numbers>().get() == 0);
    CHECK(cluster.call<here_with>(large).get() == before);
    CHECK(cluster.call<here_with>(large + "a").get() == before);
    CHECK(slave.workers() == workers);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task that puts other files over its output harms nobody") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    CHECK(cluster.call<write_over_output>().get() == 2);
    CHECK(cluster.call<twice>(5).get() == 10);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task that ignores and blocks all signals is still killed at its timeout") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    CHECK(cluster.call<take_all_signals>().get() == 3);
    auto bag = cluster.bag({.timeout = 100ms});
    CHECK(error_of(bag.call<spin_deaf>()).kind() == Error::Kind::timeout);
    CHECK(bag.call<twice>(5).get() == 10);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE(
    "a task that handles signals is killed at its timeout, and its next worker has defaults") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    Others others(cluster);
    CHECK(cluster.call<handle_signals>().get() == 4);
    const Error error = error_of(cluster.call<fault_for_ever>(knee::TaskOptions{.timeout = 100ms}));
    CHECK(error.kind() == Error::Kind::timeout);
    CHECK(cluster.call<handled_signals>().get() == 0);
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a pipe that its reader closes ends its writer as in a shell") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    Others others(cluster);
    CHECK(cluster.call<output_of_shell>("yes | head -1").get() == "y\n0");
    CHECK(cluster.call<output_of_shell>("bash -c 'set -o pipefail; yes | head -1'").get() ==
          "y\n141");
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("what a shell command of a task prints comes out at the driver, once") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  DriverProcess driver(
      {.part = "shell", .arguments = {"yes | head -1"}, .slaves = {slave.address()}});
  CHECK(driver.wait() == 0);
  const std::string out = driver.out();
  CHECK_THAT(out, Contains("system() gave 0\n") && Contains("] y\n"));
  CHECK(count_of(out, "\n") == 2);
  CHECK_THAT(driver.err(), !Contains("Broken pipe"));
  CHECK(leaks.found() == "");
}

TEST_CASE("a task can ask where it is") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  const Here here = cluster.call<look_around>().get();
  CHECK(here.slave == "gandalf");
  CHECK(here.slot < 2);
  CHECK(here.attempt == 1);
  CHECK_FALSE(here.cancelled);
  const Here outside = look_around();
  CHECK(outside.slave.empty());
  CHECK(outside.slot == 0);
  CHECK(outside.attempt == 0);
  CHECK_FALSE(outside.cancelled);
  CHECK_FALSE(knee::this_task::stop_token().stop_possible());
}

TEST_CASE("tasks that run at the same time are in slots of different numbers, from 0") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto one = cluster.call<hold_a_slot>(folder / "started", folder / "go");
  auto other = cluster.call<hold_a_slot>(folder / "started", folder / "go");
  wait_for_marks(folder / "started", 2);
  leave_mark(folder / "go", "");
  CHECK(std::set<unsigned>{one.get(), other.get()} == std::set<unsigned>{0, 1});
}

TEST_CASE("a task can be the driver of a cluster of its own") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    Tally results(4);
    for (int i = 0; i < 4; ++i)
      bag.call<drive_a_cluster>(i).then([&](int x) { results.add((x - 1) / 2); });
    bag.wait();
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
}
