#include "output.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cstdio>
#include <iostream>

namespace knee::worker {
namespace {

/// Out of the way of programs that close "all" small descriptors.
constexpr int kOutOfTheWay = 500;

}  // namespace

Output::Output() {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  for (int i = 0; i < 2; ++i) pipes_[i].reset(::fcntl(i + 1, F_DUPFD_CLOEXEC, kOutOfTheWay));
}

bool Output::flush() {
  std::cout.flush();
  std::fflush(stdout);
  for (const auto& pipe : pipes_) {
    int waiting = 0;
    if (pipe && ::ioctl(pipe.get(), FIONREAD, &waiting) == 0 && waiting > 0) return true;
  }
  return false;
}

}  // namespace knee::worker
