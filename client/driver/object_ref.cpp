#include "object_ref.h"

#include <knee/error.h>

#include "client/call/call_chain.h"
#include "client/call/task_access.h"
#include "client/driver/driver.h"

namespace knee::driver {
namespace {

using detail::Access;

std::uint64_t chain_here() {
  const auto chain = detail::current_chain();
  return chain != 0 ? chain : detail::new_chain();
}

/// A reference of the driver to an object elsewhere.
class HeldObject final : public detail::Object {
 public:
  HeldObject(std::shared_ptr<ObjectOwner> owner, std::uint64_t id, std::uint32_t slave)
      : owner_(std::move(owner)), id_(id), slave_(slave) {}
  ~HeldObject() override {
    if (id_ != ObjectCall::kRoot) owner_->drop(id_);
  }

  detail::TaskRef call(const detail::Method& method, detail::Bytes arguments,
                       std::vector<detail::ObjectRef> objects,
                       detail::ObjectRef* returned) override {
    return owner_->call(method, std::move(arguments), std::move(objects), id_, slave_, returned);
  }
  detail::TaskRef use(detail::Use use, detail::ObjectRef* returned) override {
    return owner_->use(std::move(use), id_, slave_, returned);
  }
  std::uint64_t id() const { return id_; }
  ObjectOwner& owner() const { return *owner_; }

 private:
  std::shared_ptr<ObjectOwner> owner_;
  std::uint64_t id_;
  std::uint32_t slave_;  ///< on which it was made, or what made it
};

}  // namespace

detail::ObjectRef ObjectOwner::root(std::uint32_t slave) {
  return std::make_shared<HeldObject>(shared_from_this(), ObjectCall::kRoot, slave);
}

std::pair<detail::ObjectRef, std::uint64_t> ObjectOwner::add(std::uint32_t slave) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t id = ++last_;
  return {std::make_shared<HeldObject>(shared_from_this(), id, slave), id};
}

std::optional<std::uint64_t> held_id(const detail::Object& object) {
  const auto* held = dynamic_cast<const HeldObject*>(&object);
  if (held == nullptr) return std::nullopt;
  return held->id();
}

detail::TaskRef ObjectOwner::call(const detail::Method& method, detail::Bytes arguments,
                                  std::vector<detail::ObjectRef> objects, std::uint64_t object,
                                  std::uint32_t slave, detail::ObjectRef* returned) {
  return submit(
      {.method = &method, .object = object, .slave = slave, .objects = std::move(objects)},
      std::move(arguments), returned);
}

detail::TaskRef ObjectOwner::use(detail::Use use, std::uint64_t object, std::uint32_t slave,
                                 detail::ObjectRef* returned) {
  auto kept = std::make_shared<detail::Use>(std::move(use));
  return submit({.object = object, .slave = slave, .use = std::move(kept)}, {}, returned);
}

detail::ObjectRef ObjectOwner::python(std::uint32_t slave) {
  detail::ObjectRef session;
  submit({.object = ObjectCall::kRoot, .slave = slave, .opens_python = true}, {}, &session);
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
  call.chain = chain_here();
  if (returned != nullptr)
    *returned = std::make_shared<HeldObject>(shared_from_this(), call.returned, call.slave);
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

void ObjectOwner::interrupt(std::uint64_t object) {
  with_driver([object](Driver& driver) { driver.interrupt_home(object); });
}

void ObjectOwner::end(std::uint64_t object) {
  with_driver([object](Driver& driver) { driver.end_home(object); });
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

void interrupt_home_of(const detail::Object& object) {
  if (const auto* held = dynamic_cast<const HeldObject*>(&object))
    held->owner().interrupt(held->id());
}

void end_home_of(const detail::Object& object) {
  if (const auto* held = dynamic_cast<const HeldObject*>(&object)) held->owner().end(held->id());
}

}  // namespace knee::driver

namespace knee::detail {

ObjectRef root_of(const CallSite& site) {
  return site.driver->object_owner().root(site.pinned);
}

}  // namespace knee::detail
