#include "common/process/process_tree.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>

using namespace knee::process;

namespace {

pid_t fork_sleeper() {
  const pid_t child = ::fork();
  if (child != 0) return child;
  while (true) ::pause();
}

bool contains(const std::vector<pid_t>& all, pid_t pid) {
  return std::find(all.begin(), all.end(), pid) != all.end();
}

}  // namespace

TEST_CASE("children are found by each of the three ways, and nobody else is") {
  const pid_t first = fork_sleeper();
  const pid_t second = fork_sleeper();
  ::kill(second, SIGKILL);
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(second), &info, WEXITED | WNOWAIT);  // now a zombie

  const auto is_both = [&](const std::vector<pid_t>& found) {
    return found.size() == 2 && contains(found, first) && contains(found, second);
  };
  CHECK(is_both(children_by_asking(1, std::max(first, second))));
  // Numbers begin again from below when they are used up.
  if (std::min(first, second) > ::getpid()) CHECK(is_both(young_children_by_asking()));
  const auto by_stats = children_by_stats();
  REQUIRE(by_stats);
  CHECK(by_stats->size() == 2);
  CHECK(contains(*by_stats, first));
  if (const auto by_file = children_by_file()) {
    CHECK(by_file->size() == 2);
    CHECK(contains(*by_file, second));
  }
  ::kill(first, SIGKILL);
  ::waitpid(first, nullptr, 0);
  ::waitpid(second, nullptr, 0);
  CHECK(children().empty());
}

TEST_CASE("killing descendants ends at once when there are none") {
  const auto result = kill_descendants(std::chrono::hours(1));
  CHECK(result.killed == 0);
  CHECK(result.remaining == 0);
}

TEST_CASE("without patience the children that remain are counted, not waited for") {
  const pid_t child = fork_sleeper();
  const auto result = kill_descendants(std::chrono::milliseconds(0));
  CHECK(result.remaining == 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("deeper descendants are killed without touching the caller or its children") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const pid_t grandchild = fork_sleeper();
    if (::write(ends[1], &grandchild, sizeof grandchild) < 0) ::_exit(98);
    int status = 0;
    ::waitpid(grandchild, &status, 0);
    ::_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 11 : 12);
  }
  pid_t grandchild = 0;
  REQUIRE(::read(ends[0], &grandchild, sizeof grandchild) == sizeof grandchild);
  kill_deeper_descendants();
  // Kernels before 5.3 cannot: there only the child would be killed, here by hand.
  if (::kill(grandchild, 0) == 0 && children().empty()) ::kill(grandchild, SIGKILL);
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 11);
  ::close(ends[0]);
  ::close(ends[1]);
}
