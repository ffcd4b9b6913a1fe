#pragma once
#include <capnp/rpc-twoparty.h>
#include <kj/async-unix.h>

#include "common/base/unique_fd.h"
#include "common/rpc/socket_stream.h"

namespace knee::slave {

/// A connection to a worker beside its channel, on which it answers Cap'n Proto RPC. Destruction
/// ends it: what each side has given to the other is broken. Lives on the loop.
class WorkerLine {
 public:
  explicit WorkerLine(kj::UnixEventPort& port);
  /// Asks `reason` when the worker's end is closed: calls that are not answered then fail as it
  /// does.
  WorkerLine(kj::UnixEventPort& port, kj::Function<kj::Promise<void>()> reason);
  WorkerLine(const WorkerLine&) = delete;
  ~WorkerLine();

  /// The worker's end, to be passed on; empty the second time.
  UniqueFd take_worker_socket() { return std::move(worker_socket_); }
  /// What the worker bootstraps.
  capnp::Capability::Client bootstrap();

 private:
  WorkerLine(kj::UnixEventPort& port, std::pair<UniqueFd, UniqueFd> sockets);

  UniqueFd worker_socket_;
  rpc::SocketStream stream_;
  capnp::TwoPartyVatNetwork network_;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc_;
};

}  // namespace knee::slave
