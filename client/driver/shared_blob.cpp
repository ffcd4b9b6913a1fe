#include "shared_blob.h"

#include "common/base/digest.h"

namespace knee::detail {

SharedBlobRef make_shared_blob(Bytes encoded) {
  auto blob = std::make_shared<SharedBlob>();
  blob->digest = knee::digest_of(encoded.view()).bytes;
  blob->bytes = std::move(encoded);
  return blob;
}

const DigestBytes& digest_of(const SharedBlob& blob) {
  return blob.digest;
}

}  // namespace knee::detail
