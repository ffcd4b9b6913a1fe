#include <knee/detail/object.h>
#include <knee/error.h>

#include <cstring>
#include <set>
#include <shared_mutex>

#include "client/call/exception_text.h"
#include "client/call/use_result.h"

namespace knee::detail {
namespace {

constexpr std::uint32_t kNull = UINT32_MAX;

void do_nothing(MethodCall&) {}

}  // namespace

/// Of all methods of the program. Made at the first use: they are registered before main.
struct Methods {
  std::shared_mutex mutex;
  std::set<std::pair<Method::Thunk, const void*>> known;
  static Methods& instance() {
    static auto* const methods = new Methods;  // static objects may still ask at the end
    return *methods;
  }
};

Method::Method(Thunk its_thunk, std::string_view its_label, const void* its_type)
    : thunk(its_thunk), label(its_label), type(its_type) {
  auto& methods = Methods::instance();
  const std::unique_lock lock(methods.mutex);
  methods.known.emplace(thunk, type);
}

bool is_method(Method::Thunk thunk, const void* type) {
  if (thunk == kWaiter.thunk) return true;  // which looks at nothing
  auto& methods = Methods::instance();
  const std::shared_lock lock(methods.mutex);
  return methods.known.contains({thunk, type});
}

const Method kWaiter{&do_nothing, "wait", nullptr};

Object::~Object() = default;

const std::vector<ObjectRef>*& arriving_objects() noexcept {
  thread_local const std::vector<ObjectRef>* objects = nullptr;
  return objects;
}

ObjectRef made(ObjectRef object) {
  if (object)
    if (const auto failure = object->failure()) std::rethrow_exception(failure);
  return object;
}

void write_object(ByteSink& sink, const ObjectRef& object) {
  auto* context = static_cast<CallContext*>(sink.context);
  if (context == nullptr)
    throw Error(Error::Kind::usage,
                "a function or a reference can only be an argument of a call, or the whole of its "
                "result");
  std::uint32_t place = kNull;
  if (object) {
    place = static_cast<std::uint32_t>(context->objects.size());
    context->objects.push_back(made(object));
  }
  sink.bytes.append(&place, sizeof place);
}

ObjectRef read_object(ByteSource& source) {
  std::uint32_t place = kNull;
  std::memcpy(&place, source.take(sizeof place), sizeof place);
  if (place == kNull) return nullptr;
  const auto* objects = arriving_objects();
  if (objects == nullptr || place >= objects->size())
    throw DecodeError("a call refers to an object that did not come with it");
  return (*objects)[place];
}

std::vector<ObjectRef> take_objects(CallContext& context) {
  if (!context.shared.empty())
    throw Error(Error::Kind::usage, "a knee::Shared can be given to tasks, not to calls on a Ref");
  return std::move(context.objects);
}

namespace {

/// What a call returned that failed: everything called on it fails with the same.
class NeverMade final : public Object {
 public:
  explicit NeverMade(std::exception_ptr error) : error_(std::move(error)) {}
  TaskRef call(const Method&, Bytes, std::vector<ObjectRef>, ObjectRef* returned) override {
    return fail(returned);
  }
  TaskRef use(Use, ObjectRef* returned) override { return fail(returned); }
  std::exception_ptr failure() const noexcept override { return error_; }

 private:
  TaskRef fail(ObjectRef* returned) const {
    if (returned != nullptr) *returned = std::make_shared<NeverMade>(error_);
    return ended_task({}, error_);
  }

  std::exception_ptr error_;
};

}  // namespace

TaskRef LocalObject::call(const Method& method, Bytes arguments, std::vector<ObjectRef> objects,
                          ObjectRef* returned) {
  const ArrivingObjects arriving(objects);
  Bytes result;
  MethodCall call{local(), arguments, result};
  std::exception_ptr error;
  try {
    method.thunk(call);
  } catch (...) {
    error = std::current_exception();
    call.returned = std::make_shared<NeverMade>(error);
  }
  if (returned != nullptr) *returned = std::move(call.returned);
  return ended_task(std::move(result), std::move(error));
}

TaskRef LocalObject::use(Use use, ObjectRef* returned) {
  std::exception_ptr error;
  UseResult result;
  try {
    result = use_here(use);
  } catch (const ForeignException& failed) {
    // As others learn of it.
    error = std::make_exception_ptr(as_error(failed.text()));
  } catch (...) {
    error = std::current_exception();
  }
  if (returned != nullptr)
    *returned = error ? std::make_shared<NeverMade>(error) : object_of(result);
  return ended_use(std::move(result), std::move(error));
}

UseResult LocalObject::use_here(Use& use) {
  throw Error(Error::Kind::usage, use.label() +
                                      ": this is a C++ object, which has no names to use "
                                      "it by; call it by its functions, with knee::Ref");
}

}  // namespace knee::detail
