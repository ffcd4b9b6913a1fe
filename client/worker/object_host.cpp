#include "object_host.h"

#include <kj/async-unix.h>
#include <knee/error.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <stdexcept>

#include "client/call/call_chain.h"
#include "client/call/returned_object.h"
#include "client/call/task_access.h"
#include "common/base/check.h"
#include "common/program/function_address.h"
#include "common/rpc/process_end.h"
#include "common/rpc/rpc_loop.h"

namespace knee::worker {
namespace {

using detail::Access;
using detail::ObjectRef;

/// Of this process. Its thread's.
ObjectHost* here = nullptr;

/// An object elsewhere that this process was given.
class GivenObject final : public detail::Object {
 public:
  GivenObject(ObjectHost& host, std::shared_ptr<Drops> drops, proto::Object::Client client)
      : host_(host), drops_(std::move(drops)), client_(kj::mv(client)) {}
  ~GivenObject() noexcept override { drops_->drop(kj::mv(client_)); }
  detail::TaskRef call(const detail::Method& method, detail::Bytes arguments,
                       std::vector<ObjectRef> objects, ObjectRef* returned) override {
    return host_.call(client_, method, std::move(arguments), objects, returned);
  }
  detail::TaskRef use(detail::Use use, ObjectRef* returned) override {
    return host_.use(client_, use, returned);
  }
  proto::Object::Client& client() { return client_; }

 private:
  ObjectHost& host_;
  std::shared_ptr<Drops> drops_;
  proto::Object::Client client_;
};

/// An object of this process as others hold it.
class HeldByOthers final : public proto::Object::Server {
 public:
  HeldByOthers(ObjectHost& host, ObjectRef object, bool is_root)
      : host_(host), object_(std::move(object)), is_root_(is_root) {
    host_.held(is_root_);
  }
  ~HeldByOthers() noexcept(false) { host_.let_go(std::move(object_), is_root_); }
  kj::Promise<void> call(ObjectCallContext context) override {
    context.allowCancellation();
    return host_.arrive(object_, context);
  }
  kj::Promise<void> use(UseContext context) override {
    context.allowCancellation();
    return host_.arrive(object_, context);
  }
  const ObjectRef& object() const { return object_; }

 private:
  ObjectHost& host_;
  ObjectRef object_;  ///< null: the root that is nothing
  bool is_root_;
};

/// An eventfd that `interrupt_waiting` writes to; -1 where nobody watches it.
std::atomic<int> interrupt_bell = -1;

/// Whether there were any.
bool forget_interrupts() {
  std::uint64_t count = 0;
  return interrupt_bell >= 0 && ::read(interrupt_bell, &count, sizeof count) == sizeof count;
}

}  // namespace

void interrupt_waiting() noexcept {
  const int saved = errno;
  const std::uint64_t one = 1;
  if (interrupt_bell >= 0) (void)!::write(interrupt_bell, &one, sizeof one);
  errno = saved;
}

ObjectHost::ObjectHost(kj::AsyncIoContext& io, std::vector<std::string> files)
    : io_(io), files_(std::move(files)), drops_(std::make_shared<Drops>()) {
  here = this;
  drop_watch_ = watch_for_drops().eagerlyEvaluate(nullptr);
  detail::how_servers_wait() = [](detail::TaskState& task, detail::Deadline deadline) {
    here->wait_for(task, deadline);
  };
}

ObjectHost::~ObjectHost() noexcept {
  detail::how_servers_wait() = nullptr;
  here = nullptr;
  drop_watch_ = nullptr;
  drops_->close();
}

void ObjectHost::check_thread() const {
  if (std::this_thread::get_id() != thread_)
    throw Error(Error::Kind::usage,
                "functions and objects of others can be called only on the thread that runs the "
                "task or method they were given to");
}

kj::Promise<void> ObjectHost::watch_for_drops() {
  return drops_->next().then([this] {
    wake();
    return watch_for_drops();
  });
}

void ObjectHost::let_go(ObjectRef object, bool is_root) {
  // Its destructor may wait, which nothing can in an event.
  if (object) released_.push_back(std::move(object));
  --held_;
  if (is_root) --roots_;
  wake();
}

void ObjectHost::collect_dropped() {
  drops_->take();
  while (!released_.empty()) {
    const auto released = std::exchange(released_, {});
  }
  for (auto& counting : std::exchange(counting_, {})) counting->fulfill(held_ - roots_);
}

kj::Promise<std::uint64_t> ObjectHost::count() {
  auto paf = kj::newPromiseAndFulfiller<std::uint64_t>();
  counting_.add(kj::mv(paf.fulfiller));
  wake();
  return kj::mv(paf.promise);
}

kj::Promise<void> ObjectHost::finish() {
  return end_of_round().then([this]() -> kj::Promise<void> {
    // What was sent on a result comes when that is there, before anything is read from outside.
    const auto before = arrived_;
    return kj::evalLast([] {}).then([this, before]() -> kj::Promise<void> {
      if (arrived_ == before) return kj::READY_NOW;
      return finish();
    });
  });
}

kj::Promise<void> ObjectHost::end_of_round() {
  auto paf = kj::newPromiseAndFulfiller<void>();
  round_->finished = kj::mv(paf.fulfiller);
  round_->next = std::make_shared<Round>();
  round_ = round_->next;
  return kj::mv(paf.promise);
}

detail::Method::Thunk ObjectHost::find(const detail::CallPlace& place) {
  auto& thunk = thunks_[place];
  if (thunk == nullptr) {
    if (place.file >= files_.size()) throw std::runtime_error("a call of a file that is not here");
    thunk = reinterpret_cast<detail::Method::Thunk>(
        const_cast<void*>(program::resolve({files_[place.file], place.offset})));
  }
  return thunk;
}

detail::CallPlace ObjectHost::locate(const detail::Method& method) {
  const auto known = places_.find(&method);
  if (known != places_.end()) return known->second;
  const auto address = program::locate(reinterpret_cast<const void*>(method.thunk));
  const auto file = std::find(files_.begin(), files_.end(), address.module);
  if (file == files_.end())
    throw std::runtime_error("a function of '" + address.module +
                             "', which does not travel with the program");
  const detail::CallPlace place{static_cast<std::uint32_t>(file - files_.begin()), address.offset};
  places_.emplace(&method, place);
  return place;
}

proto::Object::Client ObjectHost::client_of(const ObjectRef& object) {
  detail::made(object);
  if (auto* given = dynamic_cast<GivenObject*>(object.get())) return given->client();
  return held_servers_.add(kj::heap<HeldByOthers>(*this, object, object == nullptr));
}

proto::Object::Client ObjectHost::root(const ObjectRef& object) {
  return held_servers_.add(kj::heap<HeldByOthers>(*this, object, true));
}

kj::Promise<ObjectRef> ObjectHost::hold(proto::Object::Client client) {
  auto own = held_servers_.getLocalServer(client);
  return own.then([this, client = kj::mv(client)](
                      kj::Maybe<proto::Object::Server&> server) mutable -> ObjectRef {
    KJ_IF_MAYBE (held, server) return static_cast<HeldByOthers&>(*held).object();
    return given(kj::mv(client));
  });
}

ObjectRef ObjectHost::take(proto::Object::Client client) {
  return hold(kj::mv(client)).wait(io_.waitScope);
}

ObjectRef ObjectHost::given(proto::Object::Client client) {
  return std::make_shared<GivenObject>(*this, drops_, kj::mv(client));
}

detail::TaskRef ObjectHost::call(proto::Object::Client& object, const detail::Method& method,
                                 detail::Bytes arguments, const std::vector<ObjectRef>& objects,
                                 ObjectRef* returned) {
  check_thread();
  const auto number = detail::new_number();
  auto sent = detail::send_call(object, locate(method),
                                std::make_shared<const detail::Bytes>(std::move(arguments)),
                                objects, {detail::current_chain(), number}, doors_.offer);
  auto [made, answered] = detail::returned_with_answer(kj::mv(sent));
  if (returned != nullptr) *returned = given(kj::mv(made));
  detail::TaskRef task(new detail::TaskState);
  task->id = number;
  open_calls_.insert(number);
  // The object is kept: what is large of its answer is read from there.
  sent_.add(
      answered
          .then([task, object](capnp::Response<proto::Object::CallResults> answer) mutable
                -> kj::Promise<void> {
            const auto result = answer.getResult();
            if (result.isException()) {
              const auto failure = result.getException();
              Access::set_error(*task, std::make_exception_ptr(detail::as_error(
                                           {failure.getType().cStr(), failure.getWhat().cStr()})));
              return kj::READY_NOW;
            }
            return detail::read_result(result)
                .then([task](detail::Bytes value) { Access::payload(*task) = std::move(value); })
                .attach(kj::mv(object));
          })
          .then([this, task] { ended(*task); },
                [this, task](kj::Exception&& error) { fail(*task, error); }));
  return task;
}

detail::TaskRef ObjectHost::use(proto::Object::Client& object, const detail::Use& use,
                                ObjectRef* returned) {
  check_thread();
  auto request = object.useRequest(detail::size_of(use));
  const auto number = detail::new_number();
  detail::write_use(request.initUse(), use, {detail::current_chain(), number}, doors_);
  auto [made, answered] = detail::returned_with_answer(request.send());
  if (returned != nullptr) *returned = given(kj::mv(made));
  detail::TaskRef task(new detail::TaskState);
  task->id = number;
  open_calls_.insert(number);
  // As in `call`.
  sent_.add(answered
                .then([this, object](capnp::Response<proto::Object::UseResults> answer) mutable {
                  return detail::read_answer(kj::mv(answer), doors_).attach(kj::mv(object));
                })
                .then(
                    [this, task](std::shared_ptr<detail::UseAnswer> answer) {
                      if (answer->failed) {
                        Access::set_error(
                            *task, std::make_exception_ptr(detail::as_error(*answer->failed)));
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
  auto kind = Error::Kind::refused;
  if (rpc::is_process_end(error))
    kind = Error::Kind::crashed;
  else if (error.getType() == kj::Exception::Type::DISCONNECTED)
    kind = Error::Kind::slave_lost;
  Access::set_error(
      task, std::make_exception_ptr(Error(
                kind, "a call on an object elsewhere was not answered: " + rpc::text_of(error))));
  ended(task);
}

kj::Promise<void> ObjectHost::something_until(detail::Deadline deadline) {
  if (deadline == detail::kNever) return something();
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return something().exclusiveJoin(
      io_.provider->getTimer().afterDelay(left.count() * kj::MILLISECONDS));
}

template <class Condition>
void ObjectHost::wait_for(std::uint64_t call, Condition condition, detail::Deadline deadline) {
  const auto before = std::exchange(waited_, deadline == detail::kNever ? call : 0);
  KJ_DEFER(waited_ = before);
  wait_until(condition, deadline);
}

void ObjectHost::wait_for(detail::TaskState& task, detail::Deadline deadline) {
  wait_for(
      task.id, [&task] { return task.done(); }, deadline);
}

void ObjectHost::wait_for_answers() {
  while (!open_calls_.empty()) {
    const auto oldest = *open_calls_.begin();
    wait_for(
        oldest, [&] { return !open_calls_.contains(oldest); }, detail::kNever);
  }
}

void ObjectHost::wait_for_event(kj::Promise<void> event) {
  const auto begin = std::chrono::steady_clock::now();
  const auto waited = [&] { return std::chrono::steady_clock::now() - begin; };
  while (!event.poll(io_.waitScope) && waited() < spin_.limit())
    ::sched_yield();  // to whoever has something to do, above all who would give us something
  event.wait(io_.waitScope);
  spin_.waited(waited());
}

ObjectHost::Wait ObjectHost::waits() const {
  Wait wait{.call = waited_, .behind = {}, .within = within_};
  if (waited_ == 0) return wait;
  for (const auto& call : waiting_)
    if (detail::current_chain() == 0 || call.identity.chain != detail::current_chain())
      wait.behind.push_back(call.identity.number);
  return wait;
}

// --- interrupts

ObjectHost::Waiting::Waiting(ObjectHost& host) : host_(host) {
  ++host_.waits_;
  // They were of what ran before.
  forget_interrupts();
  host_.interrupted_ = false;
}

void ObjectHost::watch_interrupts() {
  interrupt_bell = check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "cannot make an eventfd");
  interrupts_ = watch_for_interrupt().eagerlyEvaluate(nullptr);
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
  open_calls_.erase(task.id);
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

}  // namespace knee::worker
