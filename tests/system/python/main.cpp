#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <knee/knee.h>

#include <cstdlib>
#include <string_view>

#include "tests/system/harness/run_tests.h"

namespace {

/// As another driver (DriverProcess), its one part: a session that prints.
int print_from_python(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  cluster.slave("gandalf").python().execute("print('said by Python')");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  knee::serve_if_worker();
#ifdef KNEE_PYTHON_BUILT
  ::setenv("KNEE_PYTHON", KNEE_PYTHON_BUILT, 1);
#else
  ::unsetenv("KNEE_PYTHON");
#endif
  if (argc > 1 && std::string_view(argv[1]) == "--driver") return print_from_python(argc, argv);
  return knee::test::run_tests(argc, argv, KNEE_SLAVE_BUILT);
}
