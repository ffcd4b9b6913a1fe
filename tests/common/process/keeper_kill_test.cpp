#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <optional>
#include <sstream>
#include <thread>

#include "behaviour.h"
#include "common/process/keeper.h"
#include "witness.h"

using namespace knee::process;
using namespace knee::test;

namespace {

/// A worker under a keeper, watched by a witness.
struct Watched {
  explicit Watched(SpawnPlan plan) : keeper((witness.watch(plan), keepers.start(plan))) {
    witness.close_write_end();
  }
  Witness witness;
  PatientKeepers keepers;
  Keeper keeper;
};

bool is_there(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

/// A slave in a process of its own that this one can kill.
struct OtherSlave {
  explicit OtherSlave(Witness& witness, const char* fork_too = "0") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    pid = ::fork();
    if (pid == 0) {
      // Out of the way first: either may have that number, and keep its close-on-exec if it has.
      const int writer = ::fcntl(witness.write_end(), F_DUPFD_CLOEXEC, kWitness + 1);
      const int printer = ::fcntl(ends[1], F_DUPFD_CLOEXEC, kWitness + 1);
      ::dup2(writer, kWitness);
      ::dup2(printer, STDOUT_FILENO);
      ::execl("/proc/self/exe", "slave", "--behave", "be_slave", fork_too, nullptr);
      ::_exit(99);
    }
    ::close(ends[1]);
    const Descriptor output(ends[0]);
    char text[32] = {};
    REQUIRE(::read(output.get(), text, sizeof text - 1) > 0);
    std::istringstream(text) >> keeper >> copy;
  }
  pid_t pid = 0;
  pid_t keeper = 0;
  pid_t copy = 0;
};

}  // namespace

TEST_CASE("a daemon a worker left is gone before its death is told") {
  Watched watched(plan_of("leave_daemon_and_exit", "4"));
  const pid_t daemon = watched.witness.next_pid();
  REQUIRE(daemon > 1);
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK_FALSE(is_there(daemon));
  CHECK(story.death->exit_code == 4);
  CHECK(story.death->leftovers_killed == 1);
  CHECK(story.death->leftovers_stuck == 0);
  CHECK(watched.witness.all_gone());
}

TEST_CASE("fifty children in many sessions are all killed and counted") {
  Watched watched(plan_of("leave_crowd", "50"));
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK(watched.witness.all_gone());
  CHECK(story.death->leftovers_killed == 50);
}

TEST_CASE("a stopped child is killed") {
  Watched watched(plan_of("leave_stopped"));
  REQUIRE(watched.witness.next_pid() > 1);
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK(story.death->leftovers_killed == 1);
  CHECK(watched.witness.all_gone());
}

TEST_CASE("a child that forks and exits for ever is caught") {
  Watched watched(plan_of("leave_runner"));
  REQUIRE(watched.witness.next_pid() > 1);
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK(watched.witness.all_gone());
  CHECK(story.death->leftovers_stuck == 0);
}

TEST_CASE("killing a worker kills its tree and says that it was asked for") {
  Watched watched(plan_of("leave_daemon_and_linger"));
  REQUIRE(watched.witness.next_pid() > 1);
  REQUIRE(watched.witness.next_pid() > 1);
  watched.keeper.kill_worker(SIGKILL);
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK(story.death->signal == SIGKILL);
  CHECK(story.death->killed_on_request);
  CHECK(story.death->out_of_memory == OutOfMemory::no);
  CHECK(story.death->leftovers_killed == 1);
  CHECK(watched.witness.all_gone());
  watched.keeper.kill_worker(SIGKILL);  // too late, and harmless
}

TEST_CASE("a signal other than SIGKILL is passed on to the worker, who may handle it") {
  Watched watched(plan_of("linger_till_sigterm", "17"));
  REQUIRE(watched.witness.next_pid() > 1);
  watched.keeper.kill_worker(SIGTERM);
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK(story.death->exit_code == 17);
  CHECK(story.death->signal == 0);
  CHECK_FALSE(story.death->killed_on_request);
}

TEST_CASE("a worker killed before it was seen to start is told of all the same") {
  Watched watched(plan_of("linger"));
  watched.keeper.kill_worker(SIGKILL);
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK(story.started);
  CHECK(story.death->signal == SIGKILL);
  CHECK(story.death->killed_on_request);
}

TEST_CASE("a request that comes after a worker's own end is not its cause") {
  for (int round = 0; round < 50; ++round) {
    Watched watched(plan_of("end_by_signal", std::to_string(SIGKILL)));
    CHECK(watched.witness.all_gone());  // the worker's descriptors are closed
    watched.keeper.kill_worker(SIGKILL);
    const auto story = read_story(watched.keeper);
    REQUIRE(story.death);
    CHECK(story.death->signal == SIGKILL);
    REQUIRE_FALSE(story.death->killed_on_request);
  }
}

TEST_CASE("dropping the keeper object kills the tree") {
  Watched watched(plan_of("leave_daemon_and_linger"));
  REQUIRE(watched.witness.next_pid() > 1);
  REQUIRE(watched.witness.next_pid() > 1);
  { const auto dropped = std::move(watched.keeper); }
  CHECK(watched.witness.all_gone());
}

TEST_CASE("a keeper killed by SIGKILL takes its worker and the worker's group with it") {
  Watched watched(plan_of("linger_with_child"));
  REQUIRE(watched.witness.next_pid() > 1);
  REQUIRE(watched.witness.next_pid() > 1);
  REQUIRE(next_news(watched.keeper));  // that it started, and with it its group's number
  ::kill(watched.keeper.keeper_pid(), SIGKILL);
  const auto story = read_story(watched.keeper);
  CHECK(story.gone);
  CHECK_FALSE(story.death);
  CHECK(watched.witness.all_gone());
}

TEST_CASE("a keeper told to end by SIGTERM kills the tree and tells of it") {
  Watched watched(plan_of("leave_daemon_and_linger"));
  REQUIRE(watched.witness.next_pid() > 1);
  REQUIRE(watched.witness.next_pid() > 1);
  ::kill(watched.keeper.keeper_pid(), SIGTERM);
  const auto story = read_story(watched.keeper);
  REQUIRE(story.death);
  CHECK(story.death->killed_on_request);
  CHECK(watched.witness.all_gone());
}

TEST_CASE("a slave killed by SIGKILL leaves no process") {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that we can wait for the keeper it leaves
  Witness witness;
  const OtherSlave slave(witness);
  witness.close_write_end();
  REQUIRE(witness.next_pid() > 1);
  REQUIRE(witness.next_pid() > 1);
  ::kill(slave.pid, SIGKILL);
  CHECK(::waitpid(slave.pid, nullptr, 0) == slave.pid);
  CHECK(witness.all_gone());
  CHECK(::waitpid(slave.keeper, nullptr, 0) == slave.keeper);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("a slave killed by SIGKILL leaves no process even if another holds its socket") {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  Witness witness;
  const OtherSlave slave(witness, "1");
  witness.close_write_end();
  REQUIRE(witness.next_pid() > 1);
  REQUIRE(witness.next_pid() > 1);
  REQUIRE(slave.copy > 1);
  ::kill(slave.pid, SIGKILL);
  CHECK(::waitpid(slave.pid, nullptr, 0) == slave.pid);
  CHECK(witness.all_gone());
  CHECK(::waitpid(slave.keeper, nullptr, 0) == slave.keeper);
  CHECK(is_there(slave.copy));
  ::kill(slave.copy, SIGKILL);
  CHECK(::waitpid(slave.copy, nullptr, 0) == slave.copy);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("a worker survives the end of the thread that started it") {
  std::optional<Watched> watched;
  std::thread([&watched] { watched.emplace(plan_of("linger_till_sigterm", "21")); }).join();
  REQUIRE(watched->witness.next_pid() > 1);
  watched->keeper.kill_worker(SIGTERM);
  const auto story = read_story(watched->keeper);
  REQUIRE(story.death);
  CHECK(story.death->exit_code == 21);
}
