#pragma once
#include <knee/command.h>

#include <thread>

#include "common/base/unique_fd.h"

namespace knee::cli {

/// Passes what comes on a descriptor on to a command, on a thread of its own, until the descriptor
/// ends or the command takes no more. Destruction stops it, also while it waits for a terminal; the
/// command must have ended by then, or the call waits for it to read. If other processes read from
/// the same pipe or terminal and take what this one was told of, it waits for the next input.
class InputThread {
 public:
  /// `from` is borrowed. Throws std::system_error if there is no descriptor or thread to be had.
  InputThread(int from, LiveInput to);
  InputThread(const InputThread&) = delete;
  ~InputThread();

 private:
  void pass_all();
  /// False: it is to stop.
  bool wait_for_input() const;

  int from_;
  LiveInput to_;
  UniqueFd stop_;  ///< eventfd
  std::thread thread_;
};

}  // namespace knee::cli
