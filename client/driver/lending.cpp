#include "lending.h"

#include "common/rpc/rpc_loop.h"

namespace knee::driver {

Lending::Lending() : Lending(kj::newPromiseAndFulfiller<void>()) {}

Lending::Lending(kj::PromiseFulfillerPair<void> revoked)
    : revoke_(kj::mv(revoked.fulfiller)), revoked_(revoked.promise.fork()) {}

void Lending::revoke(kj::StringPtr why) {
  *holds_ = false;
  revoke_->reject(rpc::failure(why.cStr()));
}

}  // namespace knee::driver
