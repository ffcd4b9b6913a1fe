#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>

#include "behaviour.h"
#include "common/process/keeper_main.h"

int main(int argc, char** argv) {
  if (knee::process::is_keeper(argc, argv)) return knee::process::keeper_main();
  if (argc > 2 && std::strcmp(argv[1], "--behave") == 0) return knee::test::behave(argc, argv);
  ::signal(SIGPIPE, SIG_IGN);  // as KJ does in a slave
  return Catch::Session().run(argc, argv);
}
