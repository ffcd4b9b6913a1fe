#include "offered_object.h"

#include <kj/debug.h>

#include <optional>

#include "client/call/call_chain.h"
#include "client/call/call_wire.h"
#include "client/call/exception_text.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

/// A call on its way to the callback thread.
struct Asked {
  detail::ObjectRef object;
  detail::Method::Thunk thunk;
  detail::Arguments arguments;
  std::vector<detail::ObjectRef> objects;
  std::uint64_t chain;
};

/// And what comes back.
struct Answer {
  detail::Bytes result;
  detail::ObjectRef returned;
  std::optional<detail::ExceptionText> failed;
};

Answer carry_out(const Asked& asked) {
  Answer answer;
  auto& chain = detail::current_chain();
  const auto before = std::exchange(chain, asked.chain);
  const detail::ArrivingObjects arriving(asked.objects);
  try {
    detail::MethodCall call{asked.object->local(), asked.arguments->view(), answer.result};
    asked.thunk(call);
    answer.returned = std::move(call.returned);
  } catch (...) {
    answer.failed = detail::describe_current_exception();
  }
  chain = before;
  return answer;
}

/// The same for a use by names.
detail::UseAnswer carry_out(const detail::ObjectRef& object, detail::Use& use,
                            std::uint64_t its_chain) {
  detail::UseAnswer answer;
  auto& chain = detail::current_chain();
  const auto before = std::exchange(chain, its_chain);
  try {
    answer.result = static_cast<detail::LocalObject&>(*object).use_here(use);
  } catch (...) {
    answer.failed = detail::describe_current_exception();
  }
  chain = before;
  return answer;
}

/// What the call refers to is here then, and none of it in the message.
kj::Promise<void> take_in(Asked& asked, proto::Call::Reader call,
                          const detail::ObjectDoors& doors) {
  kj::Vector<kj::Promise<void>> all;
  if (call.hasLarge()) {
    all.add(detail::fetch_arguments(call).then(
        [&asked](detail::Arguments fetched) { asked.arguments = std::move(fetched); }));
  } else {
    asked.arguments = std::make_shared<const detail::Bytes>(detail::arguments_in(call, nullptr));
  }
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

/// Calls are carried out in the order in which they came, though some of them take time to come.
kj::Promise<void> OfferedObject::in_turn(kj::Promise<void> ready) {
  auto before = before_.fork();
  auto here = kj::newPromiseAndFulfiller<void>();
  before_ = here.promise.then([branch = before.addBranch()]() mutable { return kj::mv(branch); });
  // Also one that fails or is given up is not waited for any more.
  auto end = kj::defer([fulfiller = kj::mv(here.fulfiller)]() mutable { fulfiller->fulfill(); });
  return ready.then([branch = before.addBranch()]() mutable { return kj::mv(branch); })
      .attach(kj::mv(end));
}

kj::Promise<void> OfferedObject::call(CallContext context) {
  const auto wire = context.getParams().getCall();
  auto asked = std::make_shared<Asked>();
  asked->object = object_;
  asked->thunk = surroundings_.find(wire);
  // A slave may ask for what it likes; what runs here is a function of this object or nothing.
  KJ_REQUIRE(detail::is_method(asked->thunk, object_->type()),
             "what was called is no function of such an object");
  asked->chain = wire.getChain();
  context.allowCancellation();
  return in_turn(take_in(*asked, wire, surroundings_.doors))
      .then([this, context, asked]() mutable {
        context.releaseParams();
        return rpc::offload(
            [this, chain = asked->chain](auto job) { surroundings_.run(chain, std::move(job)); },
            [asked] { return carry_out(*asked); });
      })
      .then([this, context](Answer answer) mutable {
        auto results = context.getResults(detail::size_of_result(answer.result));
        if (answer.failed) {
          auto exception = results.initResult().initException();
          exception.setType(answer.failed->type);
          exception.setWhat(answer.failed->what);
          return;
        }
        detail::write_result(results.initResult(), std::move(answer.result));
        if (answer.returned) results.setObject(surroundings_.doors.offer(answer.returned));
      });
}

kj::Promise<void> OfferedObject::use(UseContext context) {
  context.allowCancellation();
  const auto wire = context.getParams().getUse();
  const auto use = std::make_shared<detail::Use>();
  const auto chain = wire.getChain();
  return in_turn(detail::read_use(wire, surroundings_.doors)
                     .then([use](std::shared_ptr<detail::Use> read) { *use = std::move(*read); }))
      .then([this, context, use, chain]() mutable {
        context.releaseParams();
        return rpc::offload(
            [this, chain](auto job) { surroundings_.run(chain, std::move(job)); },
            [object = object_, use, chain] { return carry_out(object, *use, chain); });
      })
      .then([this, context, use](detail::UseAnswer answer) mutable {
        detail::write_answer(context, std::move(answer), use->wanted, surroundings_.doors);
      });
}

}  // namespace knee::driver
