#pragma once
#include <kj/async-io.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/rpc/address.h"
#include "common/rpc/socket_file.h"

namespace knee::rpc {

/// Finds the IP addresses of a host by its name: at least one, the best first. May block, for
/// minutes if DNS is silent; throws in words that name the host. Runs on any thread, perhaps while
/// the program ends, so it uses nothing but what it owns.
using Lookup = std::function<std::vector<std::string>(const std::string& host)>;

/// As this machine does (getaddrinfo).
std::vector<std::string> look_up(const std::string& host);

/// A bound, listening socket. Of a Unix socket see SocketFile; only processes of the same user, and
/// root's, are let in there.
class Listener {
 public:
  /// Without a host: on all of the machine's addresses, of IPv4 alone on a kernel that has no IPv6.
  /// By a host's name: on the first address that it has, for which 10 s are given (see `connect`).
  /// Rejects, in words that name the address, when it is not ours to bind, or taken: of a Unix
  /// socket, when it is still taken after half a second.
  static kj::Promise<kj::Own<Listener>> open(Address address, kj::AsyncIoContext& io,
                                             Lookup lookup = look_up);

  Listener(Address address, std::optional<SocketFile> file,
           kj::Own<kj::ConnectionReceiver> receiver, kj::AsyncIoContext& io);
  KJ_DISALLOW_COPY(Listener);

  /// The next connection, already tuned (tune_socket). Strangers on a Unix socket are dropped
  /// silently, and so is who comes when descriptors are short.
  kj::Promise<kj::Own<kj::AsyncIoStream>> accept();

  /// What was bound: with the real port if 0 was asked for, and the number of a host's name.
  const Address& address() const { return address_; }

 private:
  kj::Promise<kj::Own<kj::AsyncIoStream>> let_in(kj::Own<kj::AsyncIoStream> stream);

  Address address_;
  std::optional<SocketFile> file_;  ///< of a Unix socket
  kj::Own<kj::ConnectionReceiver> receiver_;
  kj::AsyncIoContext& io_;
};

/// Connects: by a host's name to its addresses in turn, until one answers; without a host, to this
/// machine. Rejects after `deadline`, and at a Unix socket on which another user listens (root
/// excepted), with the reason alone: the caller knows the address. A name is looked up on a thread
/// of its own, for which nobody waits longer than that: not the loop, nor its end.
kj::Promise<kj::Own<kj::AsyncIoStream>> connect(Address address, kj::AsyncIoContext& io,
                                                kj::Duration deadline = 10 * kj::SECONDS,
                                                Lookup lookup = look_up);

}  // namespace knee::rpc
