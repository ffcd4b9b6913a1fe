#pragma once
#include <kj/async-io.h>
#include <kj/async-unix.h>

namespace knee::rpc {

/// KJ's low-level provider for a loop that KJ has not made itself (kj::setupAsyncIo binds its loop
/// to the thread that calls it). All its streams are SocketStreams; there are none to write to
/// pipes. Lives on the port's loop and ends before it.
class LowLevelIo final : public kj::LowLevelAsyncIoProvider {
 public:
  explicit LowLevelIo(kj::UnixEventPort& port) : port_(port) {}

  kj::Own<kj::AsyncInputStream> wrapInputFd(int fd, kj::uint flags) override;
  kj::Own<kj::AsyncOutputStream> wrapOutputFd(int fd, kj::uint flags) override;
  kj::Own<kj::AsyncIoStream> wrapSocketFd(int fd, kj::uint flags) override;
  kj::Promise<kj::Own<kj::AsyncIoStream>> wrapConnectingSocketFd(int fd, const sockaddr* address,
                                                                 kj::uint size,
                                                                 kj::uint flags) override;
  /// Accepted connections that have failed already are passed over; the loop goes on. Other errors
  /// (too many open files) reject `accept`, which may be called again.
  kj::Own<kj::ConnectionReceiver> wrapListenSocketFd(int fd, NetworkFilter& filter,
                                                     kj::uint flags) override;
  kj::Timer& getTimer() override { return port_.getTimer(); }

 private:
  kj::UnixEventPort& port_;
};

}  // namespace knee::rpc
