#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <knee/cluster.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/system/driver_parts.h"
#include "tests/system/harness/marks.h"

namespace {

/// A program that ends before it serves, as one does that looks for its data first.
void end_early_if_told() {
  const char* starts = std::getenv("KNEE_TEST_END_EARLY");
  if (starts == nullptr) return;
  knee::test::leave_mark(starts, "start");
  std::fputs("cannot find my data\n", stderr);
  std::exit(9);
}

}  // namespace

int main(int argc, char** argv) {
  end_early_if_told();
  knee::serve_if_worker();
  if (argc > 2 && std::strcmp(argv[1], "--driver") == 0)
    return knee::test::play_driver_part(argc, argv);
  // Whatever outlives its parent becomes our child: LeakCheck finds it.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::setenv("KNEE_SLAVE", KNEE_SLAVE_BUILT, 0);
  // What the machine's user has set up is not what is tested.
  for (const char* name : {"KNEE_SLAVES", "KNEE_HOSTS", "KNEE_LISTEN", "KNEE_LOCAL"})
    ::unsetenv(name);
  ::setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
  return Catch::Session().run(argc, argv);
}
