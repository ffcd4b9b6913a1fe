#include "common/process/stat.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

using namespace knee::process;
using namespace std::chrono_literals;

TEST_CASE("a stat line is read whatever the program is called") {
  const auto stat = parse_stat(
      "4242 (a) R 1 (b) S 77 4242 4242 0 -1 4194304 100 0 0 0 300 50 9 9 20 0 1 0 12345 "
      "1000000 25 18446744073709551615 1 1 0 0 0\n");
  REQUIRE(stat);
  CHECK(stat->pid == 4242);
  CHECK(stat->state == 'S');
  CHECK(stat->parent == 77);
  CHECK_FALSE(stat->ending);
  CHECK(stat->cpu_time == 350 * (std::chrono::nanoseconds(1s) / ::sysconf(_SC_CLK_TCK)));
  CHECK(stat->resident == 25u * static_cast<unsigned>(::sysconf(_SC_PAGESIZE)));
}

TEST_CASE("a process that was not yet waited for is seen to be ending") {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  const auto stat = read_stat(child);
  REQUIRE(stat);
  CHECK(stat->ending);
  CHECK(stat->parent == ::getpid());
  CHECK(::waitpid(child, nullptr, 0) == child);
}

TEST_CASE("what is no stat line gives none") {
  CHECK_FALSE(parse_stat(""));
  CHECK_FALSE(parse_stat("1 (x"));
  CHECK_FALSE(parse_stat("1 (x) S 1"));
}

TEST_CASE("this process finds itself, among all others too") {
  const auto mine = read_stat(::getpid());
  REQUIRE(mine);
  CHECK(mine->parent == ::getppid());
  CHECK_FALSE(mine->ending);
  CHECK(mine->resident > 100'000);
  const auto all = read_all_stats();
  REQUIRE(all);
  CHECK(std::any_of(all->begin(), all->end(),
                    [](const auto& stat) { return stat.pid == ::getpid(); }));
  CHECK_FALSE(read_stat(0x7fffffff));
}
