#include "object_server.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/async-unix.h>

#include "client/worker/freed_memory.h"
#include "client/worker/object_host.h"
#include "common/rpc/socket_stream.h"
#include "proto/worker.capnp.h"

namespace knee::worker {
namespace {

/// After so long without a call, what the objects have freed goes back to the kernel.
constexpr auto kIdle = 1 * kj::SECONDS;

/// What the slave bootstraps.
class HostServer final : public proto::ObjectHost::Server {
 public:
  HostServer(ObjectHost& host, detail::ObjectRef root) : host_(host), root_(std::move(root)) {}
  kj::Promise<void> root(RootContext context) override {
    context.getResults().setObject(host_.root(root_));
    return kj::READY_NOW;
  }
  kj::Promise<void> count(CountContext context) override {
    return host_.count().then(
        [context](std::uint64_t objects) mutable { context.getResults().setObjects(objects); });
  }
  kj::Promise<void> finish(FinishContext) override { return host_.finish(); }
  kj::Promise<void> waits(WaitsContext context) override {
    host_.waits().write(context.getResults());
    return kj::READY_NOW;
  }
  kj::Promise<void> refuse(RefuseContext context) override {
    host_.refuse(context.getParams().getCall(), context.getParams().getWhy().cStr());
    return kj::READY_NOW;
  }

 private:
  ObjectHost& host_;
  detail::ObjectRef root_;
};

}  // namespace

MakeRoot& how_homes_begin() noexcept {
  static MakeRoot make = nullptr;
  return make;
}

void serve_objects(UniqueFd socket, std::vector<std::string> files) {
  auto io = kj::setupAsyncIo();
  ObjectHost host(io, std::move(files));
  rpc::SocketStream stream(io.unixEventPort, std::move(socket));
  stream.hold_finishes(0 * kj::NANOSECONDS);  // a method may run for long
  capnp::TwoPartyVatNetwork network(stream, capnp::rpc::twoparty::Side::SERVER);
  detail::ObjectRef root;
  if (how_homes_begin() != nullptr) {
    host.watch_interrupts();
    root = how_homes_begin()();
  }
  auto system = capnp::makeRpcServer(network, kj::heap<HostServer>(host, std::move(root)));
  bool gone = false;
  bool idle = false;
  auto end = network.onDisconnect().then([&gone] { gone = true; }).fork();
  const auto until_something = [&] {
    auto wake = host.something().then([&idle] { idle = false; }).exclusiveJoin(end.addBranch());
    if (idle) return wake;
    return wake.exclusiveJoin(io.provider->getTimer().afterDelay(kIdle).then([&idle] {
      give_back_freed_memory();
      idle = true;
    }));
  };
  keep_freed_memory();
  while (!gone && !host.is_abandoned()) {
    // Outside of all events, so that what is called may wait for others itself.
    if (host.has_continuations())
      host.run_continuations();
    else if (!host.carry_out_one())
      host.wait_for_event(until_something());
    io.waitScope.poll();
    host.collect_dropped();
  }
}

}  // namespace knee::worker
