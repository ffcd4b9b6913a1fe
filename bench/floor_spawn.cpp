// Floor: fork, exec and wait of a static program that ends at once.
//   floor_spawn PROGRAM

#include "bench/harness.h"
#include "bench/sockets.h"

namespace {

using namespace knee::bench;

void spawn(char* program) {
  const pid_t child = checked(::fork(), "fork");
  if (child == 0) {
    char* const arguments[] = {program, nullptr};
    ::execv(program, arguments);
    ::_exit(127);
  }
  int status = 0;
  checked(::waitpid(child, &status, 0), "waitpid");
  if (status != 0) throw std::runtime_error(std::string("cannot run ") + program);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) throw std::invalid_argument("usage: floor_spawn PROGRAM");
  constexpr int kTimes = 500;
  const double seconds = seconds_of([&] {
    for (int i = 0; i < kTimes; ++i) spawn(argv[1]);
  });
  Report report;
  report.add("spawn_ms", seconds / kTimes * 1e3);
  report.add("spawn_s", seconds / kTimes);  // to stand beside figures in seconds
  report.print();
}
