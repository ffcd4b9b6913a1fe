#include "object_server.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <knee/detail/object.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "client/worker/current_task.h"
#include "client/worker/exception_text.h"
#include "client/worker/output.h"
#include "common/program/function_address.h"
#include "common/rpc/socket_stream.h"
#include "proto/object.capnp.h"
#include "proto/worker.capnp.h"

namespace knee::worker {
namespace {

using detail::ObjectRef;

using CallContext = capnp::CallContext<proto::Object::CallParams, proto::Object::CallResults>;

/// A call that has arrived and waits for its turn.
struct Arrived {
  ObjectRef object;  ///< null: the root
  CallContext context;
  kj::Own<kj::PromiseFulfiller<void>> done;
};

class ObjectHost;

/// An object of this process as others hold it.
class HeldByOthers final : public proto::Object::Server {
 public:
  HeldByOthers(ObjectHost& host, ObjectRef object);
  ~HeldByOthers() noexcept(false);
  kj::Promise<void> call(worker::CallContext context) override;

 private:
  ObjectHost& host_;
  ObjectRef object_;
};

/// The objects of this process that others hold, and the calls on them that wait.
class ObjectHost {
 public:
  explicit ObjectHost(std::vector<std::string> files) : files_(std::move(files)) {}

  void arrive(Arrived call) {
    waiting_.push_back(kj::mv(call));
    wake();
  }
  bool has_calls() const { return !waiting_.empty(); }
  /// Carries out the oldest call that waits.
  void carry_out_one();
  /// Resolves when there is a call or the last holder is gone.
  kj::Promise<void> something() {
    auto paf = kj::newPromiseAndFulfiller<void>();
    wake_ = kj::mv(paf.fulfiller);
    return kj::mv(paf.promise);
  }
  /// Nobody holds anything any more, and somebody has.
  bool is_abandoned() const { return held_ == 0 && was_held_; }
  std::uint64_t objects() const { return held_ - roots_; }

  void held(bool is_root) {
    was_held_ = true;
    ++held_;
    if (is_root) ++roots_;
  }
  void let_go(bool is_root) {
    --held_;
    if (is_root) --roots_;
    if (held_ == 0) wake();
  }

 private:
  using Place = std::pair<std::uint32_t, std::uint64_t>;

  void wake() {
    if (wake_.get() != nullptr && wake_->isWaiting()) wake_->fulfill();
  }
  detail::Method::Thunk find(const Place& place);

  std::vector<std::string> files_;
  std::map<Place, detail::Method::Thunk> thunks_;
  std::deque<Arrived> waiting_;
  kj::Own<kj::PromiseFulfiller<void>> wake_;
  std::uint64_t held_ = 0;
  std::uint64_t roots_ = 0;
  bool was_held_ = false;
  Output output_;
};

HeldByOthers::HeldByOthers(ObjectHost& host, ObjectRef object)
    : host_(host), object_(std::move(object)) {
  host_.held(object_ == nullptr);
}

HeldByOthers::~HeldByOthers() noexcept(false) {
  host_.let_go(object_ == nullptr);
}

kj::Promise<void> HeldByOthers::call(worker::CallContext context) {
  auto paf = kj::newPromiseAndFulfiller<void>();
  host_.arrive({object_, context, kj::mv(paf.fulfiller)});
  return kj::mv(paf.promise);
}

detail::Method::Thunk ObjectHost::find(const Place& place) {
  auto& thunk = thunks_[place];
  if (thunk == nullptr) {
    if (place.first >= files_.size()) throw std::runtime_error("a call of a file that is not here");
    thunk = reinterpret_cast<detail::Method::Thunk>(
        const_cast<void*>(program::resolve({files_[place.first], place.second})));
  }
  return thunk;
}

void ObjectHost::carry_out_one() {
  Arrived call = kj::mv(waiting_.front());
  waiting_.pop_front();
  if (!call.done->isWaiting()) return;  // whoever wanted it is gone
  const auto wire = call.context.getParams().getCall();
  detail::Bytes result;
  std::optional<ExceptionText> failed;
  ObjectRef returned;
  try {
    const auto bytes = wire.getArguments();
    detail::MethodCall method{call.object ? call.object->local() : nullptr,
                              {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()},
                              result};
    find({wire.getFile(), wire.getOffset()})(method);
    returned = std::move(method.returned);
  } catch (...) {
    failed = describe_current_exception();
  }
  output_.flush();
  call.context.releaseParams();
  auto results = call.context.getResults(
      capnp::MessageSize{result.size() / sizeof(capnp::word) + 32, returned ? 1U : 0U});
  if (failed) {
    auto exception = results.initResult().initException();
    exception.setType(failed->type);
    exception.setWhat(failed->what);
  } else {
    results.initResult().setValue(
        kj::arrayPtr(reinterpret_cast<const kj::byte*>(result.data()), result.size()));
    if (returned) results.setObject(kj::heap<HeldByOthers>(*this, std::move(returned)));
  }
  call.done->fulfill();
}

/// What the slave bootstraps.
class HostServer final : public proto::ObjectHost::Server {
 public:
  explicit HostServer(ObjectHost& host) : host_(host) {}
  kj::Promise<void> root(RootContext context) override {
    context.getResults().setObject(kj::heap<HeldByOthers>(host_, nullptr));
    return kj::READY_NOW;
  }
  kj::Promise<void> count(CountContext context) override {
    context.getResults().setObjects(host_.objects());
    return kj::READY_NOW;
  }

 private:
  ObjectHost& host_;
};

}  // namespace

void serve_objects(UniqueFd socket, std::vector<std::string> files) {
  auto io = kj::setupAsyncIo();
  ObjectHost host(std::move(files));
  rpc::SocketStream stream(io.unixEventPort, std::move(socket));
  capnp::TwoPartyVatNetwork network(stream, capnp::rpc::twoparty::Side::SERVER);
  auto system = capnp::makeRpcServer(network, kj::heap<HostServer>(host));
  bool gone = false;
  auto end = network.onDisconnect().then([&gone] { gone = true; }).fork();
  while (!gone && !host.is_abandoned()) {
    // Outside of all events, so that what is called may wait for others itself.
    if (host.has_calls())
      host.carry_out_one();
    else
      host.something().exclusiveJoin(end.addBranch()).wait(io.waitScope);
    io.waitScope.poll();
  }
}

}  // namespace knee::worker
