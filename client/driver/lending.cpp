#include "lending.h"

#include <kj/debug.h>

namespace knee::driver {

Lending::Lending() : Lending(kj::newPromiseAndFulfiller<void>()) {}

Lending::Lending(kj::PromiseFulfillerPair<void> revoked)
    : revoke_(kj::mv(revoked.fulfiller)), revoked_(revoked.promise.fork()) {}

void Lending::revoke(kj::StringPtr why) {
  revoke_->reject(KJ_EXCEPTION(FAILED, why));
}

}  // namespace knee::driver
