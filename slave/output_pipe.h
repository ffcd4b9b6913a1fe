#pragma once
#include <kj/async-io.h>
#include <kj/async-unix.h>

#include <functional>
#include <string>

#include "common/base/unique_fd.h"

namespace knee::slave {

/// The reading end of a worker's stdout or stderr, cut into whole lines. Lives on the loop.
class OutputPipe {
 public:
  /// Called with one or more whole lines, each with its newline; or with a piece of a line that is
  /// over 8 KiB or the last one. With Cut::anywhere with whatever was read.
  using Sink = std::function<void(std::string lines)>;
  enum class Cut { lines, anywhere };

  OutputPipe(kj::UnixEventPort& port, Sink sink, Cut cut = Cut::lines);

  /// To be inherited by the worker; to be closed here once it is.
  int writing_end() const { return write_.get(); }
  void close_writing_end() { write_.reset(); }

  enum class State { empty, more, ended };
  /// Reads what there is, now, at most 1 MiB. `ended`: the last writer has closed it.
  State drain();
  /// Passes on what is left without a newline: the process that wrote it is gone.
  void flush();
  /// The last bytes that came through, up to 4 KiB.
  const std::string& tail() const { return tail_; }

  /// Reads whenever there is something, until the end. `may_read` false: waits for `resume`.
  kj::Promise<void> pump(std::function<bool()> may_read);
  void resume();

 private:
  void take(const char* bytes, std::size_t size);

  UniqueFd write_;
  UniqueFd read_;
  Sink sink_;
  Cut cut_;
  std::string line_;
  std::string tail_;
  kj::UnixEventPort::FdObserver observer_;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> paused_;
};

}  // namespace knee::slave
