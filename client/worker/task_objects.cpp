#include "task_objects.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <kj/debug.h>

#include <optional>
#include <stdexcept>

#include "client/call/call_chain.h"
#include "client/worker/object_host.h"
#include "common/rpc/socket_stream.h"
#include "proto/worker.capnp.h"

namespace knee::worker {

struct TaskObjectHost::Parts {
  explicit Parts(std::vector<std::string> files) : host(io, std::move(files)) {}
  kj::AsyncIoContext io = kj::setupAsyncIo();
  ObjectHost host;
};

TaskObjectHost::TaskObjectHost(std::vector<std::string> files)
    : parts_(std::make_unique<Parts>(std::move(files))) {}

TaskObjectHost::~TaskObjectHost() = default;

struct TaskObjects::Line {
  Line(kj::UnixEventPort& port, UniqueFd socket, proto::TaskObjects::Client server)
      : stream(port, std::move(socket)),
        network(stream, capnp::rpc::twoparty::Side::SERVER),
        system(capnp::makeRpcServer(network, kj::mv(server))) {
    stream.hold_finishes(0 * kj::NANOSECONDS);  // the task may run for long
  }

  rpc::SocketStream stream;
  capnp::TwoPartyVatNetwork network;
  capnp::RpcSystem<capnp::rpc::twoparty::VatId> system;
};

namespace {

/// Takes in what the slave lends.
class LoanServer final : public proto::TaskObjects::Server {
 public:
  /// `objects` and `come` are looked at as long as the connection lasts.
  LoanServer(ObjectHost& host, std::vector<detail::ObjectRef>& objects, bool& come)
      : host_(host), objects_(objects), come_(come) {}
  kj::Promise<void> lend(LendContext context) override {
    KJ_REQUIRE(!come_, "a task is lent objects twice");
    for (auto object : context.getParams().getObjects()) objects_.push_back(host_.given(object));
    come_ = true;
    host_.wake();
    return kj::READY_NOW;
  }
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
  std::vector<detail::ObjectRef>& objects_;
  bool& come_;
};

}  // namespace

TaskObjects::TaskObjects(TaskObjectHost& host, UniqueFd socket, std::uint64_t chain)
    : host_(host), in_chain_(chain) {
  auto& objects = host.parts_->host;
  line_ = std::make_unique<Line>(host.parts_->io.unixEventPort, std::move(socket),
                                 kj::heap<LoanServer>(objects, objects_, come_));
  bool gone = false;
  const auto end = line_->network.onDisconnect()
                       .then([&] {
                         gone = true;
                         objects.wake();
                       })
                       .eagerlyEvaluate(nullptr);
  objects.wait_until([&] { return come_ || gone; });
  if (!come_)
    throw std::runtime_error("the functions and objects among its arguments did not arrive");
}

TaskObjects::~TaskObjects() {
  objects_.clear();
  line_.reset();
  // Calls of other chains: their senders have been told by now.
  host_.parts_->host.forget_calls();
  host_.parts_->io.waitScope.poll();
  host_.parts_->host.collect_dropped();
}

void TaskObjects::finish() {
  auto& host = host_.parts_->host;
  do {
    host.wait_for_answers();
    host.run_continuations();
  } while (host.expects_answers());
}

}  // namespace knee::worker
