#include "use_result.h"

#include <knee/detail/object.h>
#include <knee/error.h>

#include "client/call/task_access.h"

namespace knee::detail {
namespace {

/// Plain data as an object.
class PlainObject final : public LocalObject {
 public:
  explicit PlainObject(Value value) : value_(std::move(value)) {}
  UseResult use_here(Use& use) override {
    if (use.what == Use::What::copy) return {value_};
    throw Error(Error::Kind::usage,
                use.label() + ": " + std::string(value_.kind_name()) + " can only be copied");
  }

 private:
  Value value_;
};

}  // namespace

std::string Use::label() const {
  switch (what) {
    case What::attribute:
      return "attribute " + name;
    case What::set_attribute:
      return "setting of attribute " + name;
    case What::item:
      return "item";
    case What::set_item:
      return "setting of an item";
    case What::call:
      return name.empty() ? "call" : "call of " + name;
    case What::iterate:
    case What::next:
      return "iteration";
    case What::text:
      return "str";
    case What::representation:
      return "repr";
    case What::length:
      return "len";
    case What::copy:
      return "copy";
  }
  return "use";
}

ObjectRef object_of(const UseResult& result) {
  if (result.object) return result.object;
  if (result.value.kind() == Value::Kind::object && result.value.object())
    return result.value.object();
  return std::make_shared<PlainObject>(result.value);
}

TaskRef ended_use(UseResult result, std::exception_ptr error) {
  auto task = ended_task({}, std::move(error));
  Access::answer(*task) = std::make_shared<UseResult>(std::move(result));
  return task;
}

}  // namespace knee::detail
