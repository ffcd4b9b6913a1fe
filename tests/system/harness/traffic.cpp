#include "tests/system/harness/traffic.h"

#include <kj/async-io.h>

#include "common/rpc/connection.h"
#include "common/rpc/listener.h"

namespace knee::test {
namespace {

/// A driver offers nothing to a slave that it has dialed.
class ClosedDoor final : public proto::Door::Server {};

}  // namespace

std::uint64_t received_by(const SlaveProcess& slave) {
  auto io = kj::setupAsyncIo();
  auto connection =
      rpc::connect(rpc::Address::parse(slave.address()), io)
          .then([&io](kj::Own<kj::AsyncIoStream> stream) {
            return rpc::Connection::open(kj::mv(stream), rpc::Connection::Side::dialed,
                                         kj::heap<ClosedDoor>(), io.provider->getTimer());
          })
          .wait(io.waitScope);
  auto request = connection->door().helloRequest();
  rpc::describe_build(request.initHello());
  request.getHello().setRole(proto::Hello::Role::DRIVER);
  auto answer = request.send().wait(io.waitScope);
  auto described = answer.getSlave().describeRequest().send().wait(io.waitScope);
  return described.getDescription().getStoreReceived();
}

}  // namespace knee::test
