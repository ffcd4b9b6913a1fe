#pragma once
#include <kj/async-io.h>

#include <optional>

#include "common/rpc/address.h"
#include "common/rpc/socket_file.h"

namespace knee::rpc {

/// A bound, listening socket. Of a Unix socket see SocketFile; only processes of the same user, and
/// root's, are let in there.
class Listener {
 public:
  /// Rejects, in words that name the address, when it is not ours to bind, or taken: of a Unix
  /// socket, when it is still taken after half a second.
  static kj::Promise<kj::Own<Listener>> open(Address address, kj::AsyncIoContext& io);

  Listener(Address address, std::optional<SocketFile> file,
           kj::Own<kj::ConnectionReceiver> receiver, kj::AsyncIoContext& io);
  KJ_DISALLOW_COPY(Listener);

  /// The next connection, already tuned (tune_socket). Strangers on a Unix socket are dropped
  /// silently, and so is who comes when descriptors are short.
  kj::Promise<kj::Own<kj::AsyncIoStream>> accept();

  /// What was bound: with the real port if 0 was asked for.
  const Address& address() const { return address_; }

 private:
  kj::Promise<kj::Own<kj::AsyncIoStream>> let_in(kj::Own<kj::AsyncIoStream> stream);

  Address address_;
  std::optional<SocketFile> file_;  ///< of a Unix socket
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::AsyncIoContext& io_;
};

/// Connects. Rejects after `deadline`, and at a Unix socket on which another user listens (root
/// excepted), with the reason alone: the caller knows the address. Host names are resolved off the
/// loop.
kj::Promise<kj::Own<kj::AsyncIoStream>> connect(Address address, kj::AsyncIoContext& io,
                                                kj::Duration deadline = 10 * kj::SECONDS);

}  // namespace knee::rpc
