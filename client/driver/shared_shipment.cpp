#include "shared_shipment.h"

#include <utility>

#include "client/driver/shared_blob.h"
#include "client/driver/upload.h"
#include "common/rpc/byte_stream.h"

namespace knee::driver {

kj::Promise<void> SharedShipment::send(proto::Store::Client store,
                                       const detail::SharedBlobRef& blob) {
  const auto known = known_.find(blob->digest);
  if (known != known_.end() && !known->second.failed()) return known->second.wait();
  JointUpload upload(
      put_if_lacking(kj::mv(store), blob).then([this, blob] { return announce_(blob); }));
  auto there = upload.wait();
  known_.insert_or_assign(blob->digest, kj::mv(upload));
  return there;
}

kj::Promise<void> SharedShipment::put_if_lacking(proto::Store::Client store,
                                                 const detail::SharedBlobRef& blob) {
  auto request = store.lackingRequest();
  request.initDigests(1).set(0, bytes_of(blob->digest));
  return request.send().then([this, store, blob](auto&& lacking) mutable -> kj::Promise<void> {
    if (lacking.getDigests().size() == 0) return kj::READY_NOW;
    return lane_.take(blob->bytes.size())
        .then([this, store, blob](kj::Own<UploadLane::Turn> turn) mutable {
          auto put = store.putRequest();
          put.setDigest(bytes_of(blob->digest));
          put.setSize(blob->bytes.size());
          return rpc::send_bytes(put.send().getSink(), blob->bytes.view(), heard_)
              .attach(kj::mv(turn), kj::heap(blob));
        });
  });
}

}  // namespace knee::driver
