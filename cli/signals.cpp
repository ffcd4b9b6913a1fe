#include "cli/signals.h"

#include <pthread.h>
#include <time.h>

namespace knee::cli {

TakenSignals::TakenSignals() {
  sigemptyset(&set_);
  for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) sigaddset(&set_, number);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
}

int TakenSignals::wait(std::chrono::nanoseconds patience) const {
  const timespec time{0, static_cast<long>(patience.count())};
  const int number = ::sigtimedwait(&set_, nullptr, &time);
  return number > 0 ? number : 0;
}

}  // namespace knee::cli
