#pragma once
#include "proto/slave.capnp.h"
#include "slave/disk_pool.h"
#include "slave/store/blob_store.h"

namespace knee::slave {

/// The blob store over the wire; all its work is done on the disk pool.
class StoreServer final : public proto::Store::Server {
 public:
  StoreServer(DiskPool& disk, BlobStore& store) : disk_(disk), store_(store) {}

  kj::Promise<void> lacking(LackingContext context) override;
  kj::Promise<void> put(PutContext context) override;

 private:
  DiskPool& disk_;
  BlobStore& store_;
};

/// Fails the call, in words, unless `raw` has the length of a digest.
Digest digest_from(capnp::Data::Reader raw);

}  // namespace knee::slave
