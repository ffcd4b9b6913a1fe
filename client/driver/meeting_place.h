#pragma once
#include <kj/async-io.h>

#include <functional>
#include <string>

#include "client/driver/connector.h"
#include "common/rpc/listener.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

/// Where slaves that dial come in: listens, and hands each slave that joins to the dispatcher.
/// Lives on the RPC loop; destruction closes the sockets and every connection that came through
/// them.
class MeetingPlace final : public kj::TaskSet::ErrorHandler {
 public:
  /// `joined`: a slave is there; it is gone when `Connected::disconnected` resolves.
  using Joined = std::function<void(Connected)>;
  using Say = std::function<void(std::string)>;

  MeetingPlace(kj::AsyncIoContext& io, Joined joined, Say say);

  /// Resolves when it listens there, which it does as long as this object lives. Rejects, naming
  /// the address, when that cannot be.
  kj::Promise<void> listen(rpc::Address address);

 private:
  kj::Promise<void> accept_from(rpc::Listener& listener);
  void serve(kj::Own<kj::AsyncIoStream> stream, const std::string& where);
  void taskFailed(kj::Exception&& error) override;

  kj::AsyncIoContext& io_;
  Joined joined_;
  Say say_;
  kj::TaskSet connections_;
};

}  // namespace knee::driver
