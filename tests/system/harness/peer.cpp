#include "peer.h"

#include <kj/async-io.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "common/rpc/listener.h"
#include "tests/system/harness/wait_until.h"

namespace knee::test {

Peer::Peer(std::string address, MakeDoor make_door)
    : thread_([this, address = std::move(address), make_door = std::move(make_door)] {
        serve(address, make_door);
      }) {
  if (!wait_until([&] { return listens_.load(); }))
    throw std::runtime_error("a peer does not come to listen");
}

Peer::~Peer() {
  enough_ = true;
  thread_.join();
}

void Peer::serve(const std::string& address, const MakeDoor& make_door) {
  auto io = kj::setupAsyncIo();
  auto listener = rpc::Listener::open(rpc::Address::parse(address), io).wait(io.waitScope);
  listens_ = true;
  std::vector<kj::Promise<void>> served;
  auto& timer = io.provider->getTimer();
  auto next = listener->accept();
  while (!enough_) {
    if (!next.poll(io.waitScope)) {
      timer.afterDelay(5 * kj::MILLISECONDS).wait(io.waitScope);
      continue;
    }
    served.push_back(rpc::Connection::open(next.wait(io.waitScope), rpc::Connection::Side::accepted,
                                           make_door(), timer)
                         .then([](kj::Own<rpc::Connection> connection) {
                           auto ended = connection->on_disconnect();
                           return ended.attach(kj::mv(connection));
                         })
                         .eagerlyEvaluate([](kj::Exception&&) {}));
    next = listener->accept();
  }
}

void describe_future(proto::Hello::Builder hello, const std::string& name) {
  rpc::describe_build(hello);
  hello.setProtocol(2);
  hello.setVersion("9.9");
  hello.setName(name);
}

kj::Promise<void> FutureDoor::hello(HelloContext context) {
  auto hello = context.getResults().initHello();
  describe_future(hello, "future");
  hello.setRole(proto::Hello::Role::SLAVE);
  return kj::READY_NOW;
}

}  // namespace knee::test
