#include "object_server.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/async-unix.h>
#include <knee/detail/object.h>
#include <knee/error.h>

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "client/call/call_chain.h"
#include "client/call/exception_text.h"
#include "client/call/task_access.h"
#include "client/worker/current_task.h"
#include "client/worker/output.h"
#include "common/program/function_address.h"
#include "common/rpc/rpc_loop.h"
#include "common/rpc/socket_stream.h"
#include "proto/object.capnp.h"
#include "proto/worker.capnp.h"

namespace knee::worker {
namespace {

using detail::Access;
using detail::ObjectRef;

using CallContext = capnp::CallContext<proto::Object::CallParams, proto::Object::CallResults>;

/// A call that has arrived and waits for its turn.
struct Arrived {
  ObjectRef object;  ///< null: the root
  CallContext context;
  kj::Own<kj::PromiseFulfiller<void>> done;
};

class ObjectHost;

/// An object elsewhere that this process was given.
class GivenObject final : public detail::Object {
 public:
  GivenObject(ObjectHost& host, proto::Object::Client client)
      : host_(host), client_(kj::mv(client)) {}
  ~GivenObject() noexcept override {}
  detail::TaskRef call(const detail::Method& method, detail::Bytes arguments,
                       std::vector<ObjectRef> objects, ObjectRef* returned) override;
  proto::Object::Client& client() { return client_; }

 private:
  ObjectHost& host_;
  proto::Object::Client client_;
};

/// An object of this process as others hold it.
class HeldByOthers final : public proto::Object::Server {
 public:
  HeldByOthers(ObjectHost& host, ObjectRef object);
  ~HeldByOthers() noexcept(false);
  kj::Promise<void> call(worker::CallContext context) override;
  const ObjectRef& object() const { return object_; }

 private:
  ObjectHost& host_;
  ObjectRef object_;
};

/// The objects of this process that others hold, and the calls on them that wait.
class ObjectHost final : public kj::TaskSet::ErrorHandler {
 public:
  ObjectHost(kj::AsyncIoContext& io, std::vector<std::string> files)
      : io_(io), files_(std::move(files)) {}

  void arrive(Arrived call) {
    waiting_.push_back(kj::mv(call));
    wake();
  }
  bool has_calls() const { return !waiting_.empty(); }
  /// Carries out the oldest call that waits.
  void carry_out_one() { carry_out(waiting_.begin()); }
  /// Waits until the task has ended, and carries out calls of this chain meanwhile.
  void wait_for(const detail::TaskState& task);

  /// Sends a call to an object elsewhere.
  detail::TaskRef call(proto::Object::Client& object, const detail::Method& method,
                       detail::Bytes arguments, const std::vector<ObjectRef>& objects,
                       ObjectRef* returned);
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
  void carry_out(std::deque<Arrived>::iterator place);
  void ended(detail::TaskState& task);
  void run_continuations();
  void taskFailed(kj::Exception&&) override {}
  detail::Method::Thunk find(const Place& place);
  Place locate(const detail::Method& method);
  proto::Object::Client client_of(const ObjectRef& object);
  ObjectRef take(proto::Object::Client client);

  kj::AsyncIoContext& io_;
  std::vector<std::string> files_;
  std::map<Place, detail::Method::Thunk> thunks_;
  std::map<const detail::Method*, Place> places_;
  capnp::CapabilityServerSet<proto::Object> held_servers_;
  std::deque<Arrived> waiting_;
  kj::Own<kj::PromiseFulfiller<void>> wake_;
  std::uint64_t held_ = 0;
  std::uint64_t roots_ = 0;
  bool was_held_ = false;
  Output output_;
  std::deque<detail::TaskRef> continuations_;
  kj::TaskSet sent_{*this};
};

/// Of this process, while it serves objects. Its main thread's.
ObjectHost* here = nullptr;

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

ObjectHost::Place ObjectHost::locate(const detail::Method& method) {
  const auto known = places_.find(&method);
  if (known != places_.end()) return known->second;
  const auto address = program::locate(reinterpret_cast<const void*>(method.thunk));
  const auto file = std::find(files_.begin(), files_.end(), address.module);
  if (file == files_.end())
    throw std::runtime_error("a function of '" + address.module +
                             "', which does not travel with the program");
  const Place place{static_cast<std::uint32_t>(file - files_.begin()), address.offset};
  places_.emplace(&method, place);
  return place;
}

proto::Object::Client ObjectHost::client_of(const ObjectRef& object) {
  if (auto* given = dynamic_cast<GivenObject*>(object.get())) return given->client();
  return held_servers_.add(kj::heap<HeldByOthers>(*this, object));
}

ObjectRef ObjectHost::take(proto::Object::Client client) {
  auto own = held_servers_.getLocalServer(client).wait(io_.waitScope);
  KJ_IF_MAYBE (server, own) return static_cast<HeldByOthers&>(*server).object();
  return std::make_shared<GivenObject>(*this, kj::mv(client));
}

detail::TaskRef GivenObject::call(const detail::Method& method, detail::Bytes arguments,
                                  std::vector<ObjectRef> objects, ObjectRef* returned) {
  return host_.call(client_, method, std::move(arguments), objects, returned);
}

detail::TaskRef ObjectHost::call(proto::Object::Client& object, const detail::Method& method,
                                 detail::Bytes arguments, const std::vector<ObjectRef>& objects,
                                 ObjectRef* returned) {
  const auto place = locate(method);
  auto request = object.callRequest(
      capnp::MessageSize{arguments.size() / sizeof(capnp::word) + 32 + objects.size(),
                         static_cast<unsigned>(objects.size())});
  auto wire = request.initCall();
  wire.setFile(place.first);
  wire.setOffset(place.second);
  wire.setArguments(
      kj::arrayPtr(reinterpret_cast<const kj::byte*>(arguments.data()), arguments.size()));
  wire.setChain(detail::current_chain());
  auto list = wire.initObjects(static_cast<unsigned>(objects.size()));
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, client_of(objects[i]));
  auto sent = request.send();
  if (returned != nullptr) *returned = std::make_shared<GivenObject>(*this, sent.getObject());
  detail::TaskRef task(new detail::TaskState);
  sent_.add(sent.then(
      [this, task](capnp::Response<proto::Object::CallResults> answer) {
        const auto result = answer.getResult();
        auto& payload = Access::payload(*task);
        if (result.isException()) {
          const std::string type = result.getException().getType().cStr();
          const std::string what = result.getException().getWhat().cStr();
          Access::set_error(
              *task, std::make_exception_ptr(Error(Error::Kind::exception, what, {}, type, what)));
        } else {
          payload.append(result.getValue().begin(), result.getValue().size());
        }
        ended(*task);
      },
      [this, task](kj::Exception&& error) {
        const bool lost = error.getType() == kj::Exception::Type::DISCONNECTED;
        Access::set_error(
            *task, std::make_exception_ptr(Error(
                       lost ? Error::Kind::slave_lost : Error::Kind::refused,
                       "a call on an object elsewhere was not answered: " + rpc::text_of(error))));
        ended(*task);
      }));
  return task;
}

void ObjectHost::ended(detail::TaskState& task) {
  if (Access::complete(task) != Access::Next::nothing)
    continuations_.push_back(Access::share(task));
  wake();
}

void ObjectHost::run_continuations() {
  while (!continuations_.empty()) {
    const auto task = std::move(continuations_.front());
    continuations_.pop_front();
    Access::run_continuation(*task);
  }
}

void ObjectHost::wait_for(const detail::TaskState& task) {
  const auto chain = detail::current_chain();
  while (!task.done()) {
    const auto own = std::find_if(waiting_.begin(), waiting_.end(), [chain](auto& call) {
      return chain != 0 && call.context.getParams().getCall().getChain() == chain;
    });
    if (own != waiting_.end())
      carry_out(own);
    else
      something().wait(io_.waitScope);
  }
}

void ObjectHost::carry_out(std::deque<Arrived>::iterator place) {
  Arrived call = kj::mv(*place);
  waiting_.erase(place);
  if (!call.done->isWaiting()) return;  // whoever wanted it is gone
  const auto wire = call.context.getParams().getCall();
  detail::Bytes result;
  std::optional<detail::ExceptionText> failed;
  ObjectRef returned;
  auto& chain = detail::current_chain();
  const auto before = std::exchange(chain, wire.getChain());
  try {
    std::vector<ObjectRef> objects;
    for (auto object : wire.getObjects()) objects.push_back(take(object));
    const detail::ArrivingObjects arriving(objects);
    const auto bytes = wire.getArguments();
    detail::MethodCall method{call.object ? call.object->local() : nullptr,
                              {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()},
                              result};
    const auto thunk = find({wire.getFile(), wire.getOffset()});
    if (!detail::is_method(thunk, call.object ? call.object->type() : nullptr))
      throw std::runtime_error("what was called is no function of such an object");
    thunk(method);
    returned = std::move(method.returned);
    run_continuations();
  } catch (...) {
    failed = detail::describe_current_exception();
  }
  chain = before;
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
    if (returned) results.setObject(client_of(returned));
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
  ObjectHost host(io, std::move(files));
  here = &host;
  detail::how_servers_wait() = [](detail::TaskState& task) { here->wait_for(task); };
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
