#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <knee/cluster.h>

#include <cstdlib>

#include "tests/system/harness/run_tests.h"

int main(int argc, char** argv) {
  knee::serve_if_worker();
#ifdef KNEE_PYTHON_BUILT
  ::setenv("KNEE_PYTHON", KNEE_PYTHON_BUILT, 1);
#else
  ::unsetenv("KNEE_PYTHON");
#endif
  return knee::test::run_tests(argc, argv, KNEE_SLAVE_BUILT);
}
