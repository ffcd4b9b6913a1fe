#include <kj/async-io.h>
#include <kj/debug.h>

#include <algorithm>
#include <cstdint>

#include "common/rpc/connection.h"

/// Any bytes at all from a stranger who has connected: the preface, then RPC to a door.
using namespace knee;

namespace {

class FuzzedDoor final : public proto::Door::Server {
 public:
  kj::Promise<void> hello(HelloContext context) override {
    const auto refusal = rpc::refusal_of(context.getParams().getHello());
    context.getResults().initHello().setRefusal(refusal);
    return kj::READY_NOW;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  kj::_::Debug::setLogLevel(kj::LogSeverity::FATAL);  // strangers' errors are no news here
  static auto* const io = new kj::AsyncIoContext(kj::setupAsyncIo());
  constexpr std::uint8_t kPreface[] = {'K', 'N', 'E', 'E', 0, 0, 0, 1};
  auto pipe = io->provider->newTwoWayPipe();
  auto connection = rpc::Connection::open(kj::mv(pipe.ends[0]), rpc::Connection::Side::accepted,
                                          kj::heap<FuzzedDoor>(), io->provider->getTimer())
                        .then([](kj::Own<rpc::Connection> open) {
                          return open->on_disconnect().attach(kj::mv(open));
                        })
                        .eagerlyEvaluate([](kj::Exception&&) {});
  // The first bit says whether the right preface comes before the rest.
  if (size != 0 && (data[0] & 1) != 0)
    pipe.ends[1]->write(kPreface, sizeof kPreface).wait(io->waitScope);
  if (size != 0) {
    // A socket's buffer is far larger than this.
    const auto most = std::min<std::size_t>(size - 1, 32 * 1024);
    pipe.ends[1]->write(data + 1, most).wait(io->waitScope);
  }
  connection.poll(io->waitScope);
  pipe.ends[1]->shutdownWrite();
  connection.poll(io->waitScope);
  return 0;
}
