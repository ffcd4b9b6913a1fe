#include "offered_object.h"

#include <kj/debug.h>

#include <atomic>
#include <optional>
#include <stdexcept>

#include "client/call/call_chain.h"
#include "client/call/call_wire.h"
#include "client/call/exception_text.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

constexpr const char* kEnded = "the driver that it lives in has ended";

/// A call on its way to the callback thread.
struct Asked {
  detail::ObjectRef object;
  detail::Method::Thunk thunk;
  detail::Arguments arguments;
  std::vector<detail::ObjectRef> objects;
  Caller caller;
};

/// And what comes back.
struct Answer {
  detail::Bytes result;
  detail::ObjectRef returned;
  std::optional<detail::ExceptionText> failed;
};

Answer carry_out(const Asked& asked) {
  Answer answer;
  const detail::InChain chain(asked.caller.chain);
  const detail::ArrivingObjects arriving(asked.objects);
  try {
    detail::MethodCall call{asked.object->local(), asked.arguments->view(), answer.result};
    asked.thunk(call);
    answer.returned = std::move(call.returned);
  } catch (...) {
    answer.failed = detail::describe_current_exception();
  }
  return answer;
}

/// The same for a use by names.
detail::UseAnswer carry_out(const detail::ObjectRef& object, detail::Use& use,
                            const Caller& caller) {
  detail::UseAnswer answer;
  const detail::InChain chain(caller.chain);
  try {
    answer.result = dynamic_cast<detail::LocalObject&>(*object).use_here(use);
  } catch (...) {
    answer.failed = detail::describe_current_exception();
  }
  return answer;
}

template <class Wire>
Caller caller_of(const Wire& call) {
  return {.chain = call.getChain(), .number = call.getNumber()};
}

/// What the call refers to is here then, and none of it in the message.
kj::Promise<void> take_in(Asked& asked, proto::Call::Reader call,
                          const detail::ObjectDoors& doors) {
  kj::Vector<kj::Promise<void>> all;
  all.add(detail::take_arguments(call).then(
      [&asked](detail::Arguments arguments) { asked.arguments = std::move(arguments); }));
  const auto objects = call.getObjects();
  asked.objects.resize(objects.size());
  for (unsigned i = 0; i < objects.size(); ++i) {
    all.add(doors.hold(objects[i]).then([&asked, i](detail::ObjectRef object) {
      asked.objects[i] = std::move(object);
    }));
  }
  return kj::joinPromises(all.releaseAsArray());
}

}  // namespace

void OfferedObject::Surroundings::end() {
  ended = true;
  calls.cancel(kEnded);
}

OfferedObject::~OfferedObject() noexcept(false) {
  // What the user's functions hold ends where they run, since its destructors may wait.
  surroundings_->run({}, [object = std::move(object_)] {});
}

void OfferedObject::check() const {
  if (surroundings_->ended) kj::throwFatalException(rpc::failure(kEnded));
}

detail::ObjectDoors OfferedObject::doors(std::uint64_t chain) const {
  return {.hold = [around = surroundings_, chain](
                      proto::Object::Client object) { return around->hold(kj::mv(object), chain); },
          .offer = surroundings_->offer};
}

void OfferedObject::next() {
  if (!turns_.empty() && turns_.front().is_here) turns_.front().go->fulfill();
}

/// Calls are carried out in the order in which they came, though some of them take time to come.
kj::Promise<void> OfferedObject::in_turn(kj::Promise<void> ready) {
  auto go = kj::newPromiseAndFulfiller<void>();
  const auto turn = turns_.insert(turns_.end(), Turn{false, kj::mv(go.fulfiller)});
  return ready
      .then([this, turn, its_turn = kj::mv(go.promise)]() mutable {
        turn->is_here = true;
        next();
        return kj::mv(its_turn);
      })
      .attach(kj::defer([this, turn] {  // also if it has failed or is given up
        turns_.erase(turn);
        next();
      }));
}

/// Carries it out on the callback thread, if it is still wanted then, and else fails. The membrane
/// of the loan does not see calls of those whom the task has handed it on to.
template <class Work>
auto OfferedObject::run(const Caller& caller, Work work) {
  const auto wanted = std::make_shared<std::atomic<bool>>(true);
  return rpc::offload([this, caller](auto job) { surroundings_->run(caller, std::move(job)); },
                      [wanted, holds = holds_, work = std::move(work)]() mutable {
                        if (!*wanted || (holds != nullptr && !*holds))
                          throw std::runtime_error("the task that it was given to has ended");
                        return work();
                      })
      .attach(kj::defer([wanted] { *wanted = false; }));
}

kj::Promise<void> OfferedObject::call(CallContext context) {
  check();  // it may have been on its way while the driver ended
  const auto wire = context.getParams().getCall();
  auto asked = std::make_shared<Asked>();
  asked->object = object_;
  asked->thunk = surroundings_->find(wire);
  // A slave may ask for what it likes; what runs here is a function of this object or nothing.
  // Those that take no object would make others here.
  KJ_REQUIRE(object_->type() != nullptr ? detail::is_method(asked->thunk, object_->type())
                                        : asked->thunk == detail::kWaiter.thunk,
             "what was called is no function of such an object");
  asked->caller = caller_of(wire);
  context.allowCancellation();
  auto answered = in_turn(take_in(*asked, wire, doors(asked->caller.chain)))
                      .then([this, context, asked]() mutable {
                        context.releaseParams();
                        return run(asked->caller, [asked] { return carry_out(*asked); });
                      })
                      .then([this, context](Answer answer) mutable {
                        auto results = context.getResults(detail::size_of_result(answer.result));
                        if (answer.failed) {
                          auto exception = results.initResult().initException();
                          exception.setType(answer.failed->type);
                          exception.setWhat(answer.failed->what);
                          // For calls that were given what this was to return.
                          results.setObject(rpc::failure(answer.failed->what));
                          return;
                        }
                        detail::write_result(results.initResult(), std::move(answer.result));
                        if (answer.returned)
                          results.setObject(surroundings_->offer(answer.returned));
                      });
  return surroundings_->calls.wrap(kj::mv(answered));
}

kj::Promise<void> OfferedObject::use(UseContext context) {
  check();
  context.allowCancellation();
  const auto wire = context.getParams().getUse();
  const auto use = std::make_shared<detail::Use>();
  const auto caller = caller_of(wire);
  auto answered =
      in_turn(detail::read_use(wire, doors(caller.chain))
                  .then([use](std::shared_ptr<detail::Use> read) { *use = std::move(*read); }))
          .then([this, context, use, caller]() mutable {
            context.releaseParams();
            return run(caller,
                       [object = object_, use, caller] { return carry_out(object, *use, caller); });
          })
          .then([this, context, use, caller](detail::UseAnswer answer) mutable {
            detail::write_answer(context, std::move(answer), use->wanted, doors(caller.chain));
          });
  return surroundings_->calls.wrap(kj::mv(answered));
}

}  // namespace knee::driver
