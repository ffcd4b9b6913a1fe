#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <knee/detail/object.h>

#include "client/driver/objects.h"

namespace knee::driver {

/// The driver as its references know it: they may outlive it. Any thread.
class ObjectOwner : public std::enable_shared_from_this<ObjectOwner> {
 public:
  explicit ObjectOwner(Driver& driver) : driver_(&driver) {}

  /// A Python session on the slave with that index, in a process of its own.
  detail::ObjectRef python(std::uint32_t slave);
  /// By names. Throws as `call`.
  detail::TaskRef use(detail::Use use, const Target& target, detail::ObjectRef* returned);
  /// The process that an object lives in: interrupts it, or ends it.
  void interrupt(std::uint64_t object, const detail::ObjectRef& reference);
  void end(std::uint64_t object, const detail::ObjectRef& reference);

  /// The root of a process on the slave with that index.
  detail::ObjectRef root(std::uint32_t slave, const Placement& placement);
  /// Throws Error::usage if the driver is gone.
  detail::TaskRef call(const detail::Method& method, detail::Bytes arguments,
                       std::vector<detail::ObjectRef> objects, const Target& target,
                       detail::ObjectRef* returned);
  /// Throws Error::usage if one of them is a reference of another driver in this process.
  void check(const std::vector<detail::ObjectRef>& objects) const;
  /// A new reference to an object on a slave, and its id.
  std::pair<detail::ObjectRef, std::uint64_t> add(std::uint32_t slave);
  /// A reference is gone.
  void drop(std::uint64_t object);
  /// Objects whose references are gone, since the last call.
  std::vector<std::uint64_t> take_dropped();
  /// The driver ends.
  void leave();

 private:
  detail::TaskRef submit(ObjectCall call, detail::Bytes arguments, detail::ObjectRef* returned);
  template <class Act>
  void with_driver(Act act);
  void check(const Value& value) const;

  std::mutex mutex_;
  Driver* driver_;
  std::uint64_t last_ = Target::kRoot;
  std::vector<std::uint64_t> dropped_;
};

/// The id of an object elsewhere that a driver refers to; none: it is an object of this process.
std::optional<std::uint64_t> held_id(const detail::Object& object);

/// The process that an object elsewhere lives in; nothing for one of this process. The reference is
/// kept until that has been said.
void interrupt_home_of(const detail::ObjectRef& object);
void end_home_of(const detail::ObjectRef& object);

}  // namespace knee::driver
