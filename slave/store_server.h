#pragma once
#include <memory>
#include <string>

#include "proto/slave.capnp.h"
#include "slave/disk_pool.h"
#include "slave/store/blob_store.h"

namespace knee::slave {

/// What a slave's description says of its store. Belongs to the loop, which must not wait for a
/// disk.
struct StoreTraffic {
  std::uint64_t stored = 0;    ///< bytes on disk, as last looked at
  std::uint64_t received = 0;  ///< bytes of blobs that came since the start
};

/// The blob store over the wire; all its work is done on the disk pool.
class StoreServer final : public proto::Store::Server {
 public:
  StoreServer(DiskPool& disk, BlobStore& store, StoreTraffic& traffic)
      : disk_(disk), store_(store), traffic_(traffic) {}

  kj::Promise<void> lacking(LackingContext context) override;
  kj::Promise<void> put(PutContext context) override;

 private:
  struct Begun {
    std::shared_ptr<BlobWriter> writer;  ///< none: `in_use` says why
    std::string in_use;
  };
  /// On the disk pool.
  Begun begin(const Digest& digest, std::uint64_t size);

  DiskPool& disk_;
  BlobStore& store_;
  StoreTraffic& traffic_;
};

/// Fails the call, in words, unless `raw` has the length of a digest.
Digest digest_from(capnp::Data::Reader raw);

}  // namespace knee::slave
