#include <kj/async.h>
#include <knee/error.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

#include "client/call/call_chain.h"
#include "client/call/exception_text.h"
#include "client/worker/object_host.h"
#include "common/rpc/rpc_loop.h"

/// The calls of others: how they wait for their turn, and how they are carried out.
namespace knee::worker {
namespace {

using detail::ObjectRef;

/// `broken`: why an object among the arguments could not be made; empty: they are all there.
void check_arguments(const std::string& broken) {
  if (!broken.empty())
    throw Error(Error::Kind::exception,
                "an argument refers to an object that could not be made: " + broken);
}

}  // namespace

/// What is asked of a result comes when that is there, perhaps after calls that were sent later: it
/// is put before those. Looks from the back, since it is rare.
std::list<ObjectHost::Arrived>::iterator ObjectHost::place_of(
    const detail::CallIdentity& identity) {
  auto place = waiting_.end();
  for (auto other = waiting_.end(); other != waiting_.begin();) {
    --other;
    if (was_sent_before(other->identity, identity)) break;  // those before it were, too
    if (was_sent_before(identity, other->identity)) place = other;
  }
  return place;
}

kj::Promise<void> ObjectHost::arrive(const detail::Object* object,
                                     const detail::CallIdentity& identity,
                                     capnp::List<proto::Object>::Reader arguments,
                                     kj::Function<void(Arrived&)> carry_out) {
  auto paf = kj::newPromiseAndFulfiller<void>();
  auto given_up = std::make_shared<kj::Canceler>();
  auto& call = *waiting_.insert(place_of(identity),
                                Arrived{object, identity, kj::mv(carry_out), kj::mv(paf.fulfiller),
                                        given_up, round_, arguments.size() == 0});
  if (!call.ready) {
    kj::Vector<kj::Promise<void>> known;
    for (auto given : arguments)
      known.add(given.whenResolved().catch_(
          [&call](kj::Exception&& error) { call.broken = rpc::text_of(error); }));
    call.awaited = kj::joinPromises(known.releaseAsArray())
                       .then([this, &call] {
                         call.ready = true;
                         wake();
                       })
                       .eagerlyEvaluate(nullptr);
  }
  ++arrived_;
  wake();
  return paf.promise.attach(
      kj::defer([given_up = std::move(given_up)] { given_up->cancel("the call was given up"); }),
      std::shared_ptr<Round>(round_));
}

kj::Promise<void> ObjectHost::arrive(ObjectRef object, ObjectCallContext context) {
  const auto call = context.getParams().getCall();
  const auto* target = object.get();
  return arrive(target, {call.getChain(), call.getNumber()}, call.getObjects(),
                [this, object = std::move(object), context](Arrived& call) mutable {
                  carry_out(object, context, call);
                });
}

kj::Promise<void> ObjectHost::arrive(ObjectRef object, UseContext context) {
  const auto use = context.getParams().getUse();
  const auto* target = object.get();
  return arrive(target, {use.getChain(), use.getNumber()}, use.getObjects(),
                [this, object = std::move(object), context](Arrived& call) mutable {
                  carry_out(object, context, call);
                });
}

void ObjectHost::refuse(std::uint64_t number, const char* why) {
  const auto call = std::find_if(waiting_.begin(), waiting_.end(), [number](const Arrived& one) {
    return one.identity.number == number;
  });
  // One that nobody wants any more ends outside of all events.
  if (call == waiting_.end() || !call->done->isWaiting()) return;
  call->done->reject(rpc::failure(why));
  waiting_.erase(call);
  wake();  // what it held up may be next
}

bool ObjectHost::carry_out_own() {
  const auto chain = detail::current_chain();
  if (chain == 0) return false;
  collect_dropped();
  const auto own = next([chain](const Arrived& call) { return call.identity.chain == chain; });
  if (own == waiting_.end()) return false;
  carry_out(own);
  return true;
}

/// The oldest call of those that can be carried out: it is known what it refers to, and no older
/// one of those on the same object waits for that.
template <class Of>
std::list<ObjectHost::Arrived>::iterator ObjectHost::next(Of of_those) {
  std::vector<const detail::Object*> held_up;
  for (auto call = waiting_.begin(); call != waiting_.end();) {
    if (!call->done->isWaiting()) {  // whoever wanted it is gone
      call = waiting_.erase(call);
      continue;
    }
    if (of_those(*call)) {
      const bool behind = std::find(held_up.begin(), held_up.end(), call->object) != held_up.end();
      if (call->ready && !behind) return call;
      if (!behind) held_up.push_back(call->object);
    }
    ++call;
  }
  return waiting_.end();
}

bool ObjectHost::carry_out_one() {
  collect_dropped();
  const auto call = next([](const Arrived&) { return true; });
  if (call == waiting_.end()) return false;
  carry_out(call);
  return true;
}

void ObjectHost::carry_out(std::list<Arrived>::iterator place) {
  Arrived call = kj::mv(*place);
  waiting_.erase(place);
  {
    // While this runs nothing is waited for, unless it does so itself.
    const auto waited = std::exchange(waited_, 0);
    within_.push_back(call.identity.number);
    KJ_DEFER({
      within_.pop_back();
      waited_ = waited;
    });
    call.carry_out(call);
  }
  call.done->fulfill();
  io_.waitScope.poll();  // what was asked of its result arrives
}

/// So that what a call printed is at the driver before its answer: it goes another way, by the
/// slave.
void ObjectHost::pass_on_output() {
  constexpr auto kLook = std::chrono::microseconds(20);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  while (output_.flush() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(kLook);
}

void ObjectHost::carry_out(const ObjectRef& object, ObjectCallContext& context, Arrived& call) {
  // The message is gone as soon as the loop has run and the call was given up.
  const auto wire = context.getParams().getCall();
  const detail::CallPlace function{wire.getFile(), wire.getOffset()};
  kj::Vector<kj::Promise<ObjectRef>> coming;
  for (auto given : wire.getObjects()) coming.add(hold(given));
  auto arguments_come = detail::take_arguments(wire);
  context.releaseParams();
  detail::Bytes result;
  std::optional<detail::ExceptionText> failed;
  ObjectRef returned;
  try {
    const detail::InChain chain(call.identity.chain);
    check_arguments(call.broken);
    std::vector<ObjectRef> objects;
    for (auto& one : coming) objects.push_back(one.wait(io_.waitScope));
    const detail::ArrivingObjects arriving(objects);
    const auto arguments = arguments_come.wait(io_.waitScope);
    detail::MethodCall method{object ? object->local() : nullptr, *arguments, result};
    const auto thunk = find(function);
    // What takes no object can be called on any: it makes others in the same process.
    if (!detail::is_method(thunk, nullptr) && !(object && detail::is_method(thunk, object->type())))
      throw std::runtime_error("what was called is no function of such an object");
    thunk(method);
    returned = std::move(method.returned);
    run_continuations();
  } catch (const kj::Exception& error) {
    failed = detail::ExceptionText{"knee::Error", rpc::text_of(error)};
  } catch (...) {
    failed = detail::describe_current_exception();
  }
  pass_on_output();
  if (!call.done->isWaiting()) return;  // the context went with whoever wanted it
  auto results = context.getResults(detail::size_of_result(result));
  if (failed) {
    auto exception = results.initResult().initException();
    exception.setType(failed->type);
    exception.setWhat(failed->what);
    // For calls that were given what this was to return.
    results.setObject(rpc::failure(failed->what));
  } else {
    detail::write_result(results.initResult(), std::move(result), call.round.lock());
    if (returned) results.setObject(client_of(returned));
  }
}

void ObjectHost::carry_out(const ObjectRef& object, UseContext& context, Arrived& call) {
  detail::UseAnswer answer;
  auto wanted = detail::Use::Wanted::copy;
  try {
    const detail::InChain chain(call.identity.chain);
    check_arguments(call.broken);
    const auto use = call.given_up->wrap(detail::read_use(context.getParams().getUse(), doors_))
                         .wait(io_.waitScope);
    wanted = use->wanted;
    if (!object)
      throw Error(Error::Kind::usage, use->label() + ": what makes objects has no names");
    // What is here is an object of this process.
    answer.result = dynamic_cast<detail::LocalObject&>(*object).use_here(*use);
    run_continuations();
  } catch (const kj::Exception& error) {
    answer.failed = detail::ExceptionText{"knee::Error", rpc::text_of(error)};
  } catch (...) {
    answer.failed = detail::describe_current_exception();
  }
  pass_on_output();
  if (!call.done->isWaiting()) return;  // the context went with whoever wanted it
  context.releaseParams();
  detail::write_answer(context, std::move(answer), wanted, doors_);
}

}  // namespace knee::worker
