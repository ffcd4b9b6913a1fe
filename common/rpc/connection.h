#pragma once
#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include <memory>
#include <string>

#include "proto/slave.capnp.h"

namespace knee::rpc {

/// One connection between a driver and a slave, whoever dialed: a vat on a byte stream, with our
/// `Door` offered and the other side's at hand. Lives on one KJ loop; destruction breaks every
/// capability that came through it.
class Connection {
 public:
  enum class Side { dialed, accepted };

  /// Exchanges the preface, then speaks RPC. Rejects in words when the other side is not Knee or
  /// says nothing for 10 s.
  static kj::Promise<kj::Own<Connection>> open(kj::Own<kj::AsyncIoStream> stream, Side side,
                                               proto::Door::Client our_door, kj::Timer& timer);

  Connection(kj::Own<kj::AsyncIoStream> stream, Side side, proto::Door::Client our_door);

  /// The other side's door.
  proto::Door::Client door();

  /// Resolves when the connection has ended, however.
  kj::Promise<void> on_disconnect() { return network_.onDisconnect(); }

  /// Of a side that is to greet: resolves when the connection has ended. Rejects, in words, if
  /// after 10 s `greeted` does not say that it has, or if it ended before, having said something
  /// else: who only comes and goes says nothing more.
  kj::Promise<void> until_end(std::shared_ptr<const bool> greeted, kj::Timer& timer);

  /// Whether messages wait here for the socket to take them, or to be sent with the next.
  bool has_unsent();

 private:
  void refuse_gibberish();

  kj::Own<kj::AsyncIoStream> stream_;
  Side side_;
  capnp::TwoPartyVatNetwork network_;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> rpc_;
};

/// The first words of either side, preface or hello, come within this time.
inline constexpr auto kGreetingDeadline = 10 * kj::SECONDS;

/// Fills in what every Hello of this build says.
void describe_build(proto::Hello::Builder hello);

/// Why we will not talk to a peer that said this; empty if we will.
std::string refusal_of(proto::Hello::Reader theirs);

/// No delay, keep-alive and TCP_USER_TIMEOUT, so that a dead link is noticed within 20 s. Does
/// nothing to a Unix socket.
void tune_socket(kj::AsyncIoStream& stream);

}  // namespace knee::rpc
