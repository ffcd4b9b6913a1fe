#include "shared_shipment.h"

#include <utility>

#include "client/driver/shared_blob.h"
#include "common/rpc/byte_stream.h"

namespace knee::driver {
namespace {

capnp::Data::Reader digest_of(const detail::SharedBlobRef& blob) {
  return {reinterpret_cast<const kj::byte*>(blob->digest.data()), blob->digest.size()};
}

}  // namespace

kj::Promise<void> SharedShipment::send(proto::Store::Client store,
                                       const detail::SharedBlobRef& blob) {
  const auto known = known_.find(blob->digest);
  if (known != known_.end() && !*known->second.failed) return known->second.there.addBranch();
  // Only marked here: what failed must not destroy itself while it says so.
  auto failed = std::make_shared<bool>(false);
  auto fork = put_if_lacking(kj::mv(store), blob)
                  .then([this, blob] { return announce_(blob); })
                  .catch_([failed](kj::Exception&& error) -> kj::Promise<void> {
                    *failed = true;
                    return kj::mv(error);
                  })
                  .fork();
  auto branch = fork.addBranch();
  known_.insert_or_assign(blob->digest, Known{kj::mv(fork), std::move(failed)});
  return branch;
}

kj::Promise<void> SharedShipment::put_if_lacking(proto::Store::Client store,
                                                 const detail::SharedBlobRef& blob) {
  auto request = store.lackingRequest();
  request.initDigests(1).set(0, digest_of(blob));
  return request.send().then([this, store, blob](auto&& lacking) mutable -> kj::Promise<void> {
    if (lacking.getDigests().size() == 0) return kj::READY_NOW;
    return lane_.take(blob->bytes.size())
        .then([store, blob](kj::Own<UploadLane::Turn> turn) mutable {
          auto put = store.putRequest();
          put.setDigest(digest_of(blob));
          put.setSize(blob->bytes.size());
          return rpc::send_bytes(put.send().getSink(), blob->bytes.view())
              .attach(kj::mv(turn), kj::heap(blob));
        });
  });
}

}  // namespace knee::driver
