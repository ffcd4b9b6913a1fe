#pragma once
#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <kj/function.h>

#include <cstdint>
#include <vector>

#include "common/base/unique_fd.h"

namespace knee::rpc {

/// A connected stream socket for RPC, with fewer system calls and wake-ups than KJ's own streams
/// (docs/design/decisions/0007):
/// - it reads ahead, so that a message takes one call and not three;
/// - small writes of one turn of the loop leave together at its end;
/// - a message that only says that an answer is needed no more (Finish of rpc.capnp) waits for the
///   next write, for about a millisecond: whoever has just answered is not woken for it;
/// - it asks for writability only when the socket is full: a Unix socket else wakes its writer for
///   every message the other side has read.
///
/// Lives on one loop. Destruction sends what it still can without waiting, and closes the socket.
/// Errors are KJ's: what a vanished peer leads to is of type DISCONNECTED.
class SocketStream final : public kj::AsyncIoStream {
 public:
  SocketStream(kj::UnixEventPort& port, UniqueFd socket);
  /// In place of KJ's stream over the same socket, which must be fresh: nothing read or written. A
  /// SocketStream stays what it is.
  static kj::Own<SocketStream> instead_of(kj::Own<kj::AsyncIoStream> stream,
                                          kj::UnixEventPort& port);
  ~SocketStream();

  /// Who reads at the end of the stream is told what comes of `reason`, if that fails. Before
  /// anything is read.
  void end_with(kj::Function<kj::Promise<void>()> reason) { reason_ = kj::mv(reason); }

  /// How long a Finish may wait for the next write, while the loop runs; 0: not at all, for a loop
  /// that stands still for long. Before anything is written.
  void hold_finishes(kj::Duration most) { most_held_ = most; }

  kj::Promise<size_t> tryRead(void* buffer, size_t min_bytes, size_t max_bytes) override;
  kj::Promise<void> write(const void* buffer, size_t size) override;
  kj::Promise<void> write(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) override;
  /// Never resolves: a reader learns of the end.
  kj::Promise<void> whenWriteDisconnected() override { return kj::NEVER_DONE; }
  void shutdownWrite() override;
  void abortRead() override;

  void getsockopt(int level, int option, void* value, kj::uint* length) override;
  void setsockopt(int level, int option, const void* value, kj::uint length) override;
  /// Whether written bytes wait for the socket to take them.
  bool has_unsent() const { return out_sent_ < out_.size(); }
  /// Bytes that have come from the other side, asked for or not.
  std::uint64_t received() const { return received_; }

  kj::Maybe<int> getFd() const override { return socket_.get(); }

 private:
  using Pieces = kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>>;

  kj::Promise<void> watch();
  size_t take_buffered(kj::byte* to, size_t most);
  kj::Promise<size_t> read_more(kj::byte* to, size_t done, size_t min_bytes, size_t max_bytes);
  kj::Promise<size_t> end(size_t done);
  kj::Promise<void> when_readable();

  void flush_soon();
  void flush_late();
  kj::Promise<void> flush();
  bool flush_some();
  kj::Promise<void> send(Pieces pieces, size_t piece, size_t offset);
  kj::Promise<void> when_writable();
  void fail_if_failed();

  kj::UnixEventPort& port_;
  UniqueFd socket_;
  kj::UnixEventPort::FdObserver readable_;

  std::vector<kj::byte> ahead_;  ///< read and not asked for yet: [ahead_begin_, ahead_end_)
  size_t ahead_begin_ = 0;
  size_t ahead_end_ = 0;
  std::uint64_t edges_ = 1;     ///< times the socket has become readable
  std::uint64_t empty_at_ = 0;  ///< nothing is there to be read before `edges_` differs
  std::uint64_t received_ = 0;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> reader_;
  kj::Maybe<kj::Function<kj::Promise<void>()>> reason_;

  std::vector<kj::byte> out_;
  size_t out_sent_ = 0;
  bool flushing_ = false;
  bool shut_down_ = false;
  kj::Duration most_held_ = 1 * kj::MILLISECONDS;
  bool late_ = false;                ///< `late_flush_` is on its way
  kj::Maybe<kj::Exception> failed_;  ///< of an earlier write
  kj::Promise<void> flush_ = nullptr;
  kj::Promise<void> late_flush_ = nullptr;
  kj::Promise<void> watch_ = nullptr;  ///< ends before what it uses
};

}  // namespace knee::rpc
