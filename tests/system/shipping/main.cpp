#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/system/harness/run_tests.h"

namespace {

constexpr unsigned kNobody = 65534;

bool become_nobody() {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 &&
         ::setresuid(kNobody, kNobody, kNobody) == 0;
}

/// Whether an ordinary user reaches what is tested: the build folder may be private to root.
bool nobody_may_run(const char* program) {
  const auto pid = ::fork();
  if (pid == 0) ::_exit(become_nobody() && ::access(program, X_OK) == 0 ? 0 : 1);
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && status == 0;
}

}  // namespace

// Programs are shipped and started by ordinary users; root would hide what they may not do. The
// tests that need another root folder are run apart, with KNEE_TEST_AS_ROOT set.
int main(int argc, char** argv) {
  ::setenv("KNEE_SLAVE", KNEE_SLAVE_BUILT, 0);
  if (::geteuid() == 0 && std::getenv("KNEE_TEST_AS_ROOT") == nullptr) {
    if (!nobody_may_run(std::getenv("KNEE_SLAVE")))
      std::puts("skipped: as an ordinary user, who cannot reach the build folder; run as root");
    else if (!become_nobody())
      return std::perror("cannot become an ordinary user"), 1;
  }
  return knee::test::run_tests(argc, argv, KNEE_SLAVE_BUILT);
}
