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
  std::uint64_t id() const { return target_.object; }
  const ObjectOwner* owner() const { return owner_.get(); }

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
  std::unique_lock lock(mutex_);
  if (driver_ == nullptr) throw Error(Error::Kind::usage, "a call on a Ref whose Cluster is gone");
  auto& driver = *driver_;
  const std::uint64_t id = returned != nullptr ? ++last_ : 0;
  // To submit may run what waits on the loop, which may drop references.
  lock.unlock();
  detail::TaskRef task(new detail::TaskState(driver, nullptr, nullptr));
  task->kind = detail::TaskState::Kind::method;
  task->attempts = 1;
  Access::payload(*task) = std::move(arguments);
  Access::extra(*task) = std::make_shared<ObjectCall>(
      ObjectCall{&method, target, id, detail::chain_here(), std::move(objects)});
  if (returned != nullptr)
    *returned =
        std::make_shared<HeldObject>(shared_from_this(), Target{id, target.slave, target.place});
  driver.submit(task);
  return task;
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
