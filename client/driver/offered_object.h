#pragma once
#include <kj/async.h>

#include <cstdint>
#include <functional>
#include <vector>

#include <knee/detail/object.h>

#include "client/call/use_wire.h"
#include "proto/object.capnp.h"

namespace knee::driver {

/// An object of this driver that others were given: what they call is carried out on the callback
/// thread. Lives on the RPC loop.
class OfferedObject final : public proto::Object::Server {
 public:
  struct Surroundings {
    /// The function that a call names. Throws, in words, if there is none.
    std::function<detail::Method::Thunk(proto::Call::Reader)> find;
    /// Runs that on the callback thread, as part of the chain.
    std::function<void(std::uint64_t chain, std::function<void()>)> run;
    /// For the objects that arrive with a call, and those that leave.
    detail::ObjectDoors doors;
  };
  /// `surroundings` lives as long as the loop's objects.
  OfferedObject(const Surroundings& surroundings, detail::ObjectRef object)
      : surroundings_(surroundings), object_(std::move(object)) {}

  kj::Promise<void> call(CallContext context) override;
  kj::Promise<void> use(UseContext context) override;
  const detail::ObjectRef& object() const { return object_; }

 private:
  kj::Promise<void> in_turn(kj::Promise<void> ready);

  const Surroundings& surroundings_;
  detail::ObjectRef object_;
  kj::Promise<void> before_ = kj::READY_NOW;  ///< all calls that have come are here as a whole
};

}  // namespace knee::driver
