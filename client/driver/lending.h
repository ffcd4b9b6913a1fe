#pragma once
#include <capnp/membrane.h>
#include <kj/async.h>
#include <kj/refcount.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace knee::driver {

/// Whether those who asked for something still may have it.
using Holds = std::shared_ptr<const std::atomic<bool>>;

/// Capabilities lent to one attempt of a task: the slave can use what has come through this, and
/// what it got by that, until it is revoked. Lives on the RPC loop.
class Lending final : public capnp::MembranePolicy, public kj::Refcounted {
 public:
  Lending();

  /// Every call that is under way or comes later fails with that text; what was asked for and has
  /// not begun never does.
  void revoke(kj::StringPtr why);
  /// Whether it still holds. Any thread.
  Holds holds() const { return holds_; }

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

  std::shared_ptr<std::atomic<bool>> holds_ = std::make_shared<std::atomic<bool>>(true);
  kj::Own<kj::PromiseFulfiller<void>> revoke_;
  kj::ForkedPromise<void> revoked_;
};

}  // namespace knee::driver
