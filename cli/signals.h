#pragma once
#include <signal.h>

#include <chrono>

namespace knee::cli {

/// The signals a terminal or a batch system sends, kept from all threads that are started
/// afterwards and taken by the one that waits.
class TakenSignals {
 public:
  TakenSignals();
  /// The next one, 0 if none comes in this time, less than a second.
  int wait(std::chrono::nanoseconds patience) const;

 private:
  sigset_t set_;
};

}  // namespace knee::cli
