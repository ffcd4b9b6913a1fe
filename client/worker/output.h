#pragma once
#include "common/base/unique_fd.h"

namespace knee::worker {

/// This worker's standard output and error, as the pipes they were at the start, whatever tasks do
/// to descriptors 1 and 2.
class Output {
 public:
  /// Makes stdout line-buffered: a pipe would else keep lines until it is full.
  Output();

  /// Passes on what C and C++ streams hold back. True: there is something in the pipes that the
  /// slave has not read.
  bool flush();

 private:
  UniqueFd pipes_[2];
};

}  // namespace knee::worker
