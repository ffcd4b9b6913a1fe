#include "offered_object.h"

#include <kj/debug.h>

#include <optional>

#include "client/call/call_chain.h"
#include "client/call/exception_text.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

/// A call on its way to the callback thread.
struct Asked {
  detail::ObjectRef object;
  detail::Method::Thunk thunk;
  detail::Bytes arguments;
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
    detail::MethodCall call{asked.object->local(), asked.arguments, answer.result};
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

}  // namespace

kj::Promise<void> OfferedObject::call(CallContext context) {
  const auto wire = context.getParams().getCall();
  auto asked = std::make_shared<Asked>();
  asked->object = object_;
  asked->thunk = surroundings_.find(wire);
  // A slave may ask for what it likes; what runs here is a function of this object or nothing.
  KJ_REQUIRE(detail::is_method(asked->thunk, object_->type()),
             "what was called is no function of such an object");
  const auto bytes = wire.getArguments();
  asked->arguments.append(bytes.begin(), bytes.size());
  for (auto object : wire.getObjects()) asked->objects.push_back(surroundings_.hold(object));
  asked->chain = wire.getChain();
  context.releaseParams();
  context.allowCancellation();
  return rpc::offload(
             [this, chain = asked->chain](auto job) { surroundings_.run(chain, std::move(job)); },
             [asked] { return carry_out(*asked); })
      .then([this, context](Answer answer) mutable {
        auto results = context.getResults();
        if (answer.failed) {
          auto exception = results.initResult().initException();
          exception.setType(answer.failed->type);
          exception.setWhat(answer.failed->what);
          return;
        }
        results.initResult().setValue(kj::arrayPtr(
            reinterpret_cast<const kj::byte*>(answer.result.data()), answer.result.size()));
        if (answer.returned) results.setObject(surroundings_.offer(answer.returned));
      });
}

kj::Promise<void> OfferedObject::use(UseContext context) {
  context.allowCancellation();
  const auto chain = context.getParams().getUse().getChain();
  return detail::read_use(context.getParams().getUse(), surroundings_.doors)
      .then([this, context, chain](std::shared_ptr<detail::Use> use) mutable {
        context.releaseParams();
        return rpc::offload(
                   [this, chain](auto job) { surroundings_.run(chain, std::move(job)); },
                   [object = object_, use, chain] { return carry_out(object, *use, chain); })
            .then([this, context, use](detail::UseAnswer answer) mutable {
              detail::write_answer(context, std::move(answer), use->wanted, surroundings_.doors);
            });
      });
}

}  // namespace knee::driver
