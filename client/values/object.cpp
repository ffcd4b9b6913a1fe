#include <knee/detail/object.h>
#include <knee/error.h>

namespace knee::detail {
namespace {

void do_nothing(MethodCall&) {}

}  // namespace

const Method kWaiter{&do_nothing, "wait"};

Object::~Object() = default;

TaskRef LocalObject::call(const Method& method, Bytes arguments, ObjectRef* returned) {
  Bytes result;
  MethodCall call{local(), arguments, result};
  std::exception_ptr error;
  try {
    method.thunk(call);
  } catch (...) {
    error = std::current_exception();
  }
  if (returned != nullptr) *returned = std::move(call.returned);
  return ended_task(std::move(result), std::move(error));
}

}  // namespace knee::detail
