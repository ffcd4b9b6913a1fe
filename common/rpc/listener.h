#pragma once
#include <kj/async-io.h>

#include <string>

#include "common/rpc/address.h"

namespace knee::rpc {

/// A bound, listening socket. For a Unix socket: mode 0600 in a folder of mode 0700, only processes
/// of the same user are let in, a stale file of a dead process is replaced, and the file is removed
/// on destruction.
class Listener {
 public:
  /// Rejects, in words that name the address, when it is taken or not ours to bind.
  static kj::Promise<kj::Own<Listener>> open(Address address, kj::AsyncIoContext& io);

  Listener(Address address, kj::Own<kj::ConnectionReceiver> receiver, kj::AsyncIoContext& io);
  ~Listener();
  KJ_DISALLOW_COPY(Listener);

  /// The next connection, already tuned (tune_socket). Strangers on a Unix socket are dropped
  /// silently, and so is who comes when descriptors are short.
  kj::Promise<kj::Own<kj::AsyncIoStream>> accept();

  /// What was bound: with the real port if 0 was asked for.
  const Address& address() const { return address_; }

 private:
  kj::Promise<kj::Own<kj::AsyncIoStream>> let_in(kj::Own<kj::AsyncIoStream> stream);

  Address address_;
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::AsyncIoContext& io_;
};

/// Connects. Rejects after `deadline`, and at a Unix socket on which another user listens (root
/// excepted), with the reason alone: the caller knows the address. Host names are resolved off the
/// loop.
kj::Promise<kj::Own<kj::AsyncIoStream>> connect(Address address, kj::AsyncIoContext& io,
                                                kj::Duration deadline = 10 * kj::SECONDS);

}  // namespace knee::rpc
