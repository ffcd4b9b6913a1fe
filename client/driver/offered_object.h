#pragma once
#include <kj/async.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include <knee/detail/object.h>

#include "client/call/use_wire.h"
#include "client/driver/callback_thread.h"
#include "client/driver/lending.h"
#include "proto/object.capnp.h"

namespace knee::driver {

/// An object of this driver that others were given: what they call is carried out on the callback
/// thread, unless it is not wanted any more before it has begun: it was cancelled, whoever called
/// is gone, or the loan has ended. Lives on the RPC loop.
class OfferedObject final : public proto::Object::Server {
 public:
  /// What the objects of one driver share. `run` may be called until the callback thread ends, the
  /// others until `end`.
  struct Surroundings {
    /// The function that a call names. Throws, in words, if there is none.
    std::function<detail::Method::Thunk(proto::Call::Reader)> find;
    /// Runs that on the callback thread, for whoever called.
    std::function<void(const Caller&, std::function<void()>)> run;
    /// A reference to an object that came with a call of that chain.
    std::function<kj::Promise<detail::ObjectRef>(proto::Object::Client, std::uint64_t chain)> hold;
    /// The reverse. May throw.
    std::function<proto::Object::Client(const detail::ObjectRef&)> offer;
    /// Those that have come and have no answer.
    kj::Canceler calls{};
    bool ended = false;

    /// The driver ends: calls that are under way fail at once, and so does each that comes yet.
    void end();
  };
  /// `holds`: of the loan; null: it is none. `counted`: let go of at its end.
  OfferedObject(std::shared_ptr<Surroundings> surroundings, detail::ObjectRef object, Holds holds,
                std::shared_ptr<const void> counted)
      : surroundings_(std::move(surroundings)),
        object_(std::move(object)),
        holds_(std::move(holds)),
        counted_(std::move(counted)) {}
  ~OfferedObject() noexcept(false);

  kj::Promise<void> call(CallContext context) override;
  kj::Promise<void> use(UseContext context) override;
  const detail::ObjectRef& object() const { return object_; }

 private:
  /// A call that has come, perhaps not as a whole yet.
  struct Turn {
    bool is_here;
    kj::Own<kj::PromiseFulfiller<void>> go;
  };

  /// Throws, in words, if the driver has ended.
  void check() const;
  /// For the objects that arrive with a call, and those that leave.
  detail::ObjectDoors doors(std::uint64_t chain) const;
  kj::Promise<void> in_turn(kj::Promise<void> ready);
  void next();
  template <class Work>
  auto run(const Caller& caller, Work work);

  std::shared_ptr<Surroundings> surroundings_;
  detail::ObjectRef object_;
  Holds holds_;
  std::shared_ptr<const void> counted_;
  std::list<Turn> turns_;  ///< of those that were not begun, in order
};

}  // namespace knee::driver
