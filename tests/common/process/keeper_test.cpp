#include "common/process/keeper.h"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <thread>

#include "behaviour.h"
#include "witness.h"

using namespace knee::process;
using namespace knee::test;
using namespace std::chrono_literals;

namespace {

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("a command that exits leaves its exit code") {
  const auto story = run(plan_of("exit_with", "42"));
  REQUIRE(story.started);
  CHECK(story.started->worker > 1);
  REQUIRE(story.death);
  CHECK(story.death->exit_code == 42);
  CHECK(story.death->signal == 0);
  CHECK_FALSE(story.death->killed_on_request);
  CHECK(story.death->out_of_memory == OutOfMemory::no);
  CHECK(story.death->leftovers_killed == 0);
  CHECK(story.gone);
}

TEST_CASE("a command that dies of a signal leaves the signal") {
  const auto story = run(plan_of("end_by_signal", std::to_string(SIGTERM)));
  REQUIRE(story.death);
  CHECK(story.death->signal == SIGTERM);
  CHECK_FALSE(story.death->killed_on_request);
  CHECK(story.death->describe().starts_with("killed by signal 15 (SIGTERM), after "));
}

TEST_CASE("a SIGKILL nobody here sent is no request, and no lack of memory if none was counted") {
  const auto story = run(plan_of("end_by_signal", std::to_string(SIGKILL)));
  REQUIRE(story.death);
  CHECK(story.death->signal == SIGKILL);
  CHECK_FALSE(story.death->killed_on_request);
  CHECK(story.death->out_of_memory != OutOfMemory::yes);
}

TEST_CASE("the death record tells peak memory, of 100 MB written at least 100 MB") {
  const auto story = run(plan_of("allocate", "100"));
  REQUIRE(story.death);
  CHECK(story.death->peak_memory >= 100u << 20);
  CHECK(story.death->peak_memory < 1000u << 20);
}

TEST_CASE("a small command's peak memory is its own, not its slave's") {
  const std::vector<char> ballast(300u << 20, 'x');
  const auto story = run(plan_of("exit_with", "0"));
  REQUIRE(story.death);
  CHECK(ballast[1000] == 'x');
  CHECK(story.death->peak_memory > 0);
  CHECK(story.death->peak_memory < 200u << 20);
}

TEST_CASE("the death record tells CPU time and wall time") {
  const auto story = run(plan_of("burn", "200"));
  REQUIRE(story.death);
  CHECK(story.death->cpu_time >= 190ms);
  CHECK(story.death->cpu_time < 10s);
  CHECK(story.death->wall_time >= 150ms);
}

TEST_CASE("200 starts in a row leave no descriptor and no zombie") {
  PatientKeepers keepers;
  const auto before = open_descriptors();
  for (int i = 0; i < 200; ++i) {
    auto keeper = keepers.start(plan_of("exit_with", "3"));
    if (i % 2 == 0) continue;  // destroyed at once
    const auto story = read_story(keeper);
    REQUIRE(story.death);
    REQUIRE(story.death->exit_code == 3);
  }
  CHECK(keepers.wait_for_ending(kDeadline));
  CHECK(open_descriptors() == before);
  const pid_t child = ::waitpid(-1, nullptr, WNOHANG);
  CHECK(child == -1);
  CHECK(errno == ECHILD);
}

TEST_CASE("a keeper can be moved, and the moved-from one holds nothing") {
  PatientKeepers keepers;
  auto first = keepers.start(plan_of("exit_with", "1"));
  auto second = keepers.start(plan_of("exit_with", "2"));
  first = std::move(second);
  const auto story = read_story(first);
  REQUIRE(story.death);
  CHECK(story.death->exit_code == 2);
  CHECK_FALSE(first.read_news());
  CHECK(keepers.wait_for_ending(kDeadline));
}

TEST_CASE("a plan nothing could carry out is refused before anything starts") {
  PatientKeepers keepers;
  CHECK_THROWS_AS(keepers.start(SpawnPlan{}), std::invalid_argument);
  auto plan = plan_of("exit_with");
  plan.descriptors.push_back({1'000'000, 5});
  CHECK_THROWS_AS(keepers.start(plan), std::system_error);
  CHECK(keepers.ending() == 0);
}

TEST_CASE("how long a start takes", "[.time]") {
  PatientKeepers keepers;
  constexpr int kRounds = 300;
  std::chrono::nanoseconds in_start{0};
  std::chrono::nanoseconds to_exec{0};
  for (int i = 0; i < kRounds; ++i) {
    const auto began = std::chrono::steady_clock::now();
    auto keeper = keepers.start(plan_of("exit_with"));
    in_start += std::chrono::steady_clock::now() - began;
    REQUIRE(next_news(keeper));
    to_exec += std::chrono::steady_clock::now() - began;
    REQUIRE(read_story(keeper).death);
  }
  const auto mean = [](auto total) {
    return std::chrono::duration<double, std::micro>(total).count() / kRounds;
  };
  std::cout << "start(): " << mean(in_start) << " us; until execve is reported: " << mean(to_exec)
            << " us\n";
  CHECK(mean(to_exec) < 100'000);
}
