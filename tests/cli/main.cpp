#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include <stdlib.h>

int main(int argc, char** argv) {
  ::setenv("KNEE_SLAVE", KNEE_SLAVE_BUILT, 0);
  // What the machine's user has set up is not what is tested.
  for (const char* name : {"KNEE_SLAVES", "KNEE_HOSTS", "KNEE_LISTEN", "KNEE_LOCAL"})
    ::unsetenv(name);
  ::setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
  return Catch::Session().run(argc, argv);
}
