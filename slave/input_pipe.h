#pragma once
#include <kj/async-io.h>
#include <kj/async-unix.h>

#include <cstddef>
#include <optional>

#include "common/base/unique_fd.h"

namespace knee::slave {

/// A command's standard input that is written while the command runs. Lives on the loop, which it
/// never holds up. Destruction closes the pipe and answers a write that waits with `closed`.
///
/// The process must ignore SIGPIPE, as KJ sees to.
class InputPipe {
 public:
  enum class Answer {
    taken,
    closed  ///< nobody reads any more: what is left was thrown away
  };

  /// Throws std::system_error if there is no pipe to be had.
  explicit InputPipe(kj::UnixEventPort& port);
  InputPipe(const InputPipe&) = delete;
  ~InputPipe();

  /// To be inherited by the command; to be closed here once it runs.
  int reading_end() const { return read_.get(); }
  void close_reading_end() { read_.reset(); }

  /// Resolves when the pipe has taken all of it; with `end` the pipe is closed then. One at a time:
  /// rejects while another waits. If the promise is dropped the bytes are written nevertheless.
  kj::Promise<Answer> write(kj::Array<const kj::byte> bytes, bool end);

 private:
  kj::Promise<void> pump();
  /// Writes what the pipe has room for, now. None: it is full.
  std::optional<Answer> push();
  void answer(Answer answer);
  void close();

  UniqueFd read_;
  UniqueFd write_;
  std::optional<kj::UnixEventPort::FdObserver> observer_;  ///< ends before `write_` is closed
  kj::Array<const kj::byte> bytes_;
  std::size_t written_ = 0;  ///< of `bytes_`
  bool end_ = false;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<Answer>>> waiting_;
  kj::Promise<void> pumping_ = nullptr;
};

}  // namespace knee::slave
