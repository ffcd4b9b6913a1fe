#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include "tests/system/harness/run_tests.h"

int main(int argc, char** argv) {
  return knee::test::run_tests(argc, argv, KNEE_SLAVE_BUILT);
}
