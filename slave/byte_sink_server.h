#pragma once
#include <kj/function.h>

#include "common/channel/shared_memory.h"
#include "common/rpc/byte_stream.h"
#include "proto/slave.capnp.h"
#include "slave/disk_pool.h"
#include "slave/store/blob_writer.h"

namespace knee::slave {

/// A blob on its way into the store. `received` is told of each chunk's size.
class BlobSinkServer final : public proto::ByteSink::Server {
 public:
  BlobSinkServer(DiskPool& disk, BlobWriter writer, kj::Function<void(std::uint64_t)> received)
      : disk_(disk),
        writer_(std::make_shared<BlobWriter>(std::move(writer))),
        received_(kj::mv(received)) {
    rpc::keep_freed_chunks();
  }

  kj::Promise<void> write(WriteContext context) override;
  kj::Promise<void> done(DoneContext context) override;

 private:
  DiskPool& disk_;
  bool done_ = false;
  std::shared_ptr<BlobWriter> writer_;
  kj::Function<void(std::uint64_t)> received_;
};

/// A large argument on its way into shared memory.
class ValueSinkServer final : public proto::ByteSink::Server {
 public:
  using Done = kj::Function<void(channel::SharedMemory)>;
  /// The content of `memory` is to be the value.
  ValueSinkServer(channel::SharedMemory memory, Done done)
      : memory_(std::move(memory)), done_(kj::mv(done)) {
    rpc::keep_freed_chunks();
  }

  kj::Promise<void> write(WriteContext context) override;
  kj::Promise<void> done(DoneContext context) override;

 private:
  channel::SharedMemory memory_;
  std::size_t written_ = 0;
  Done done_;
};

}  // namespace knee::slave
