#include "object_ref.h"

#include <knee/error.h>
#include <knee/placement.h>

#include <atomic>

#include "client/call/call_chain.h"
#include "client/call/task_access.h"
#include "client/driver/driver.h"

namespace knee::driver {
namespace {

using detail::Access;

/// A reference of the driver to an object elsewhere.
class HeldObject final : public detail::Object {
 public:
  HeldObject(std::shared_ptr<ObjectOwner> owner, const Target& target)
      : owner_(std::move(owner)), target_(target) {}
  ~HeldObject() override {
    if (target_.object != Target::kRoot) owner_->drop(target_.object);
  }

  detail::TaskRef call(const detail::Method& method, detail::Bytes arguments,
                       std::vector<detail::ObjectRef> objects,
                       detail::ObjectRef* returned) override {
    return owner_->call(method, std::move(arguments), std::move(objects), target_, returned);
  }
  detail::TaskRef use(detail::Use use, detail::ObjectRef* returned) override {
    return owner_->use(std::move(use), target_, returned);
  }
  std::uint64_t id() const { return target_.object; }
  ObjectOwner* owner() const { return owner_.get(); }

 private:
  std::shared_ptr<ObjectOwner> owner_;
  Target target_;
};

}  // namespace

detail::ObjectRef ObjectOwner::root(std::uint32_t slave, const Placement& placement) {
  return std::make_shared<HeldObject>(
      shared_from_this(),
      Target{Target::kRoot, slave, placement.number(), placement.is_restartable()});
}

std::pair<detail::ObjectRef, std::uint64_t> ObjectOwner::add(std::uint32_t slave) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t id = ++last_;
  return {std::make_shared<HeldObject>(shared_from_this(), Target{id, slave, 0}), id};
}

std::optional<std::uint64_t> held_id(const detail::Object& object) {
  const auto* held = dynamic_cast<const HeldObject*>(&object);
  if (held == nullptr) return std::nullopt;
  return held->id();
}

void ObjectOwner::check(const std::vector<detail::ObjectRef>& objects) const {
  for (const auto& object : objects) {
    const auto* held = dynamic_cast<const HeldObject*>(object.get());
    if (held != nullptr && held->owner() != this)
      throw Error(Error::Kind::usage,
                  "an argument refers to an object of another Cluster of this program; only a "
                  "reference made through the same Cluster can be an argument");
  }
}

detail::TaskRef ObjectOwner::call(const detail::Method& method, detail::Bytes arguments,
                                  std::vector<detail::ObjectRef> objects, const Target& target,
                                  detail::ObjectRef* returned) {
  check(objects);
  return submit({.method = &method, .target = target, .objects = std::move(objects)},
                std::move(arguments), returned);
}

detail::TaskRef ObjectOwner::use(detail::Use use, const Target& target,
                                 detail::ObjectRef* returned) {
  for (const auto& argument : use.arguments) check(argument);
  for (const auto& argument : use.named) check(argument.value);
  auto kept = std::make_shared<detail::Use>(std::move(use));
  return submit({.target = target, .use = std::move(kept)}, {}, returned);
}

void ObjectOwner::check(const Value& value) const {
  switch (value.kind()) {
    case Value::Kind::object:
      return check(std::vector{value.object()});
    case Value::Kind::list:
    case Value::Kind::tuple:
      if (value.numbers() != nullptr) return;
      for (const auto& part : value.values()) check(part);
      return;
    case Value::Kind::dict:
      for (const auto& [key, part] : value.as_dict()) check(part);
      return;
    default:
      return;
  }
}

detail::ObjectRef ObjectOwner::python(std::uint32_t slave) {
  detail::ObjectRef session;
  submit({.target = {.slave = slave}, .opens_python = true}, {}, &session);
  return session;
}

detail::TaskRef ObjectOwner::submit(ObjectCall call, detail::Bytes arguments,
                                    detail::ObjectRef* returned) {
  std::unique_lock lock(mutex_);
  if (driver_ == nullptr)
    throw Error(Error::Kind::usage, "a call on an object whose Cluster is gone");
  auto& driver = *driver_;
  call.returned = returned != nullptr ? ++last_ : 0;
  // To submit may run what waits on the loop, which may drop references.
  lock.unlock();
  call.identity = {detail::chain_here(), detail::new_number()};
  if (returned != nullptr) {
    const Target made{call.returned, call.target.slave, call.target.place};
    *returned = std::make_shared<HeldObject>(shared_from_this(), made);
  }
  detail::TaskRef task(new detail::TaskState(driver, nullptr, nullptr));
  task->kind = detail::TaskState::Kind::method;
  task->attempts = 1;
  Access::payload(*task) = std::move(arguments);
  Access::extra(*task) = std::make_shared<ObjectCall>(std::move(call));
  driver.submit(task);
  return task;
}

template <class Act>
void ObjectOwner::with_driver(Act act) {
  const std::lock_guard lock(mutex_);
  if (driver_ != nullptr) act(*driver_);
}

void ObjectOwner::interrupt(std::uint64_t object, const detail::ObjectRef& reference) {
  with_driver([&](Driver& driver) { driver.interrupt_home(object, reference); });
}

void ObjectOwner::end(std::uint64_t object, const detail::ObjectRef& reference) {
  with_driver([&](Driver& driver) { driver.end_home(object, reference); });
}

void ObjectOwner::drop(std::uint64_t object) {
  const std::lock_guard lock(mutex_);
  if (driver_ == nullptr) return;
  dropped_.push_back(object);
  if (dropped_.size() == 1) driver_->objects_dropped();
}

std::vector<std::uint64_t> ObjectOwner::take_dropped() {
  const std::lock_guard lock(mutex_);
  return std::exchange(dropped_, {});
}

void ObjectOwner::leave() {
  const std::lock_guard lock(mutex_);
  driver_ = nullptr;
}

void interrupt_home_of(const detail::ObjectRef& object) {
  if (const auto* held = dynamic_cast<const HeldObject*>(object.get()))
    held->owner()->interrupt(held->id(), object);
}

void end_home_of(const detail::ObjectRef& object) {
  if (const auto* held = dynamic_cast<const HeldObject*>(object.get()))
    held->owner()->end(held->id(), object);
}

}  // namespace knee::driver

namespace knee {

Placement Placement::own() {
  static std::atomic<std::uint64_t> last{0};
  return Placement(++last);
}

namespace detail {

ObjectRef root_of(const CallSite& site, const Placement& placement) {
  return site.driver->object_owner().root(site.pinned, placement);
}

}  // namespace detail
}  // namespace knee
