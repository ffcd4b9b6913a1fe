#include "object_server.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>
#include <kj/debug.h>
#include <kj/function.h>
#include <kj/async-unix.h>
#include <knee/detail/object.h>
#include <knee/error.h>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "client/call/call_chain.h"
#include "client/call/exception_text.h"
#include "client/call/task_access.h"
#include "client/call/use_wire.h"
#include "client/worker/current_task.h"
#include "client/worker/output.h"
#include "common/base/check.h"
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
using detail::UseContext;

/// A call that has arrived and waits for its turn.
struct Arrived {
  std::uint64_t chain;
  kj::Function<void()> carry_out;
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
  detail::TaskRef use(detail::Use use, ObjectRef* returned) override;
  proto::Object::Client& client() { return client_; }

 private:
  ObjectHost& host_;
  proto::Object::Client client_;
};

/// An object of this process as others hold it.
class HeldByOthers final : public proto::Object::Server {
 public:
  HeldByOthers(ObjectHost& host, ObjectRef object, bool is_root);
  ~HeldByOthers() noexcept(false);
  kj::Promise<void> call(worker::CallContext context) override;
  kj::Promise<void> use(worker::UseContext context) override;
  const ObjectRef& object() const { return object_; }

 private:
  ObjectHost& host_;
  ObjectRef object_;  ///< null: the root that is nothing
  bool is_root_;
};

/// The objects of this process that others hold, and the calls on them that wait.
class ObjectHost final : public kj::TaskSet::ErrorHandler {
 public:
  ObjectHost(kj::AsyncIoContext& io, std::vector<std::string> files)
      : io_(io), files_(std::move(files)) {}

  /// Carries that out in its turn, and resolves then.
  kj::Promise<void> arrive(std::uint64_t chain, kj::Function<void()> carry_out) {
    auto paf = kj::newPromiseAndFulfiller<void>();
    waiting_.push_back({chain, kj::mv(carry_out), kj::mv(paf.fulfiller)});
    wake();
    return kj::mv(paf.promise);
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
  detail::TaskRef use(proto::Object::Client& object, const detail::Use& use, ObjectRef* returned);
  /// What has arrived and has its turn. Nothing of them throws.
  void carry_out(const ObjectRef& object, CallContext& context);
  void carry_out(const ObjectRef& object, UseContext& context);
  /// From now on `interrupt_waiting` is heard.
  void watch_interrupts() { interrupts_ = watch_for_interrupt().eagerlyEvaluate(nullptr); }
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
  void carry_out(std::deque<Arrived>::iterator place) {
    Arrived call = kj::mv(*place);
    waiting_.erase(place);
    if (!call.done->isWaiting()) return;  // whoever wanted it is gone
    call.carry_out();
    call.done->fulfill();
  }
  void fail(detail::TaskState& task, const kj::Exception& error);
  kj::Promise<void> watch_for_interrupt();
  void ended(detail::TaskState& task);
  void run_continuations();
  void taskFailed(kj::Exception&&) override {}
  detail::Method::Thunk find(const Place& place);
  Place locate(const detail::Method& method);
  proto::Object::Client client_of(const ObjectRef& object);
  kj::Promise<ObjectRef> hold(proto::Object::Client client);
  ObjectRef take(proto::Object::Client client) { return hold(kj::mv(client)).wait(io_.waitScope); }

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
  unsigned waits_ = 0;        ///< calls of others that wait for each other, on the stack
  bool interrupted_ = false;  ///< the innermost of them is to throw that
  kj::Promise<void> interrupts_ = nullptr;
  detail::ObjectDoors doors_{
      .hold = [this](proto::Object::Client client) { return hold(kj::mv(client)); },
      .offer = [this](const ObjectRef& object) { return client_of(object); }};
  kj::TaskSet sent_{*this};
};

/// Of this process, while it serves objects. Its main thread's.
ObjectHost* here = nullptr;
/// An eventfd that `interrupt_waiting` writes to; -1 in homes that are not interrupted.
std::atomic<int> interrupt_bell = -1;

/// Whether there were any.
bool forget_interrupts() {
  std::uint64_t count = 0;
  return interrupt_bell >= 0 && ::read(interrupt_bell, &count, sizeof count) == sizeof count;
}

HeldByOthers::HeldByOthers(ObjectHost& host, ObjectRef object, bool is_root)
    : host_(host), object_(std::move(object)), is_root_(is_root) {
  host_.held(is_root_);
}

HeldByOthers::~HeldByOthers() noexcept(false) {
  host_.let_go(is_root_);
}

kj::Promise<void> HeldByOthers::call(worker::CallContext context) {
  return host_.arrive(context.getParams().getCall().getChain(),
                      [this, context]() mutable { host_.carry_out(object_, context); });
}

kj::Promise<void> HeldByOthers::use(worker::UseContext context) {
  return host_.arrive(context.getParams().getUse().getChain(),
                      [this, context]() mutable { host_.carry_out(object_, context); });
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
  return held_servers_.add(kj::heap<HeldByOthers>(*this, object, false));
}

kj::Promise<ObjectRef> ObjectHost::hold(proto::Object::Client client) {
  auto own = held_servers_.getLocalServer(client);
  return own.then([this, client = kj::mv(client)](
                      kj::Maybe<proto::Object::Server&> server) mutable -> ObjectRef {
    KJ_IF_MAYBE (held, server) return static_cast<HeldByOthers&>(*held).object();
    return std::make_shared<GivenObject>(*this, kj::mv(client));
  });
}

detail::TaskRef GivenObject::call(const detail::Method& method, detail::Bytes arguments,
                                  std::vector<ObjectRef> objects, ObjectRef* returned) {
  return host_.call(client_, method, std::move(arguments), objects, returned);
}

detail::TaskRef GivenObject::use(detail::Use use, ObjectRef* returned) {
  return host_.use(client_, use, returned);
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
      [this, task](kj::Exception&& error) { fail(*task, error); }));
  return task;
}

detail::TaskRef ObjectHost::use(proto::Object::Client& object, const detail::Use& use,
                                ObjectRef* returned) {
  auto request = object.useRequest(detail::size_of(use));
  detail::write_use(request.initUse(), use, detail::current_chain(), doors_);
  auto sent = request.send();
  if (returned != nullptr) *returned = std::make_shared<GivenObject>(*this, sent.getObject());
  detail::TaskRef task(new detail::TaskState);
  sent_.add(sent.then([this](capnp::Response<proto::Object::UseResults> answer) {
                  return detail::read_answer(kj::mv(answer), doors_);
                })
                .then(
                    [this, task](std::shared_ptr<detail::UseAnswer> answer) {
                      if (answer->failed) {
                        const auto& failed = *answer->failed;
                        Access::set_error(*task, std::make_exception_ptr(Error(
                                                     Error::Kind::exception, failed.what, {},
                                                     failed.type, failed.what, failed.traceback)));
                      } else {
                        Access::answer(*task) =
                            std::make_shared<detail::UseResult>(std::move(answer->result));
                      }
                      ended(*task);
                    },
                    [this, task](kj::Exception&& error) { fail(*task, error); }));
  return task;
}

void ObjectHost::fail(detail::TaskState& task, const kj::Exception& error) {
  const bool lost = error.getType() == kj::Exception::Type::DISCONNECTED;
  Access::set_error(
      task, std::make_exception_ptr(
                Error(lost ? Error::Kind::slave_lost : Error::Kind::refused,
                      "a call on an object elsewhere was not answered: " + rpc::text_of(error))));
  ended(task);
}

kj::Promise<void> ObjectHost::watch_for_interrupt() {
  auto observer = kj::heap<kj::UnixEventPort::FdObserver>(
      io_.unixEventPort, interrupt_bell, kj::UnixEventPort::FdObserver::OBSERVE_READ);
  auto readable = observer->whenBecomesReadable();
  return readable.attach(kj::mv(observer)).then([this] {
    if (forget_interrupts() && waits_ != 0) {
      interrupted_ = true;
      wake();
    }
    return watch_for_interrupt();
  });
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
  ++waits_;
  KJ_DEFER(--waits_);
  forget_interrupts();  // they were of what ran before
  while (!task.done()) {
    if (std::exchange(interrupted_, false)) throw Interrupted();
    const auto own = std::find_if(waiting_.begin(), waiting_.end(), [chain](auto& call) {
      return chain != 0 && call.chain == chain;
    });
    if (own != waiting_.end())
      carry_out(own);
    else
      something().wait(io_.waitScope);
  }
}

void ObjectHost::carry_out(const ObjectRef& object, CallContext& context) {
  const auto wire = context.getParams().getCall();
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
    detail::MethodCall method{object ? object->local() : nullptr,
                              {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()},
                              result};
    const auto thunk = find({wire.getFile(), wire.getOffset()});
    if (!detail::is_method(thunk, object ? object->type() : nullptr))
      throw std::runtime_error("what was called is no function of such an object");
    thunk(method);
    returned = std::move(method.returned);
    run_continuations();
  } catch (...) {
    failed = detail::describe_current_exception();
  }
  chain = before;
  output_.flush();
  context.releaseParams();
  auto results = context.getResults(
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
}

void ObjectHost::carry_out(const ObjectRef& object, UseContext& context) {
  const auto wire = context.getParams().getUse();
  auto& chain = detail::current_chain();
  const auto before = std::exchange(chain, wire.getChain());
  detail::UseAnswer answer;
  auto wanted = detail::Use::Wanted::copy;
  try {
    const auto use = detail::read_use(wire, doors_).wait(io_.waitScope);
    wanted = use->wanted;
    if (!object)
      throw Error(Error::Kind::usage, use->label() + ": what makes objects has no names");
    // What is here is an object of this process.
    answer.result = static_cast<detail::LocalObject&>(*object).use_here(*use);
    run_continuations();
  } catch (...) {
    answer.failed = detail::describe_current_exception();
  }
  chain = before;
  output_.flush();
  context.releaseParams();
  detail::write_answer(context, std::move(answer), wanted, doors_);
}

/// What the slave bootstraps.
class HostServer final : public proto::ObjectHost::Server {
 public:
  HostServer(ObjectHost& host, ObjectRef root) : host_(host), root_(std::move(root)) {}
  kj::Promise<void> root(RootContext context) override {
    context.getResults().setObject(kj::heap<HeldByOthers>(host_, root_, true));
    return kj::READY_NOW;
  }
  kj::Promise<void> count(CountContext context) override {
    context.getResults().setObjects(host_.objects());
    return kj::READY_NOW;
  }

 private:
  ObjectHost& host_;
  ObjectRef root_;
};

}  // namespace

MakeRoot& how_homes_begin() noexcept {
  static MakeRoot make = nullptr;
  return make;
}

void interrupt_waiting() noexcept {
  const int saved = errno;
  const std::uint64_t one = 1;
  if (interrupt_bell >= 0) (void)!::write(interrupt_bell, &one, sizeof one);
  errno = saved;
}

void serve_objects(UniqueFd socket, std::vector<std::string> files) {
  auto io = kj::setupAsyncIo();
  ObjectHost host(io, std::move(files));
  here = &host;
  detail::how_servers_wait() = [](detail::TaskState& task) { here->wait_for(task); };
  rpc::SocketStream stream(io.unixEventPort, std::move(socket));
  capnp::TwoPartyVatNetwork network(stream, capnp::rpc::twoparty::Side::SERVER);
  ObjectRef root;
  if (how_homes_begin() != nullptr) {
    interrupt_bell = check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "cannot make an eventfd");
    host.watch_interrupts();
    root = how_homes_begin()();
  }
  auto system = capnp::makeRpcServer(network, kj::heap<HostServer>(host, std::move(root)));
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
