#include "output.h"

#include <sys/ioctl.h>

#include <cstdio>
#include <iostream>

#include "client/worker/high_descriptor.h"

namespace knee::worker {

Output::Output() {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  for (int i = 0; i < 2; ++i) pipes_[i] = out_of_the_way(i + 1);
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
