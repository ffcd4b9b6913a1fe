#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <knee/cluster.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/system/driver_parts.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/old_kernel.h"
#include "tests/system/harness/run_tests.h"

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
  if (argc > 2 && std::strcmp(argv[1], knee::test::kOnAnOldKernel) == 0)
    return knee::test::run_on_an_old_kernel(argv + 2);
  if (argc > 2 && std::strcmp(argv[1], "--driver") == 0)
    return knee::test::play_driver_part(argc, argv);
  return knee::test::run_tests(argc, argv, KNEE_SLAVE_BUILT);
}
