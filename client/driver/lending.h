#pragma once
#include <capnp/membrane.h>
#include <kj/async.h>
#include <kj/refcount.h>

#include <cstdint>

namespace knee::driver {

/// Capabilities lent to one attempt of a task: the slave can use what has come through this, and
/// what it got by that, until it is revoked. Lives on the RPC loop.
class Lending final : public capnp::MembranePolicy, public kj::Refcounted {
 public:
  Lending();

  /// Every call that is under way or comes later fails with that text.
  void revoke(kj::StringPtr why);

  // capnp::MembranePolicy: everything passes.
  kj::Maybe<capnp::Capability::Client> inboundCall(std::uint64_t, std::uint16_t,
                                                   capnp::Capability::Client) override {
    return nullptr;
  }
  kj::Maybe<capnp::Capability::Client> outboundCall(std::uint64_t, std::uint16_t,
                                                    capnp::Capability::Client) override {
    return nullptr;
  }
  kj::Own<capnp::MembranePolicy> addRef() override { return kj::addRef(*this); }
  kj::Maybe<kj::Promise<void>> onRevoked() override { return revoked_.addBranch(); }

 private:
  explicit Lending(kj::PromiseFulfillerPair<void> revoked);

  kj::Own<kj::PromiseFulfiller<void>> revoke_;
  kj::ForkedPromise<void> revoked_;
};

}  // namespace knee::driver
