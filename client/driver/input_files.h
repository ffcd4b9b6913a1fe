#pragma once
#include <kj/async.h>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "client/driver/command_job.h"
#include "client/driver/joint_upload.h"
#include "client/driver/upload_lane.h"
#include "common/program/digest_cache.h"
#include "common/rpc/byte_stream.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

using InputBlobs = std::shared_ptr<const std::vector<InputBlob>>;

/// Finds and hashes the input files of commands. Lives on the RPC loop; reads on the disk pool,
/// which has one thread.
class InputFiles {
 public:
  explicit InputFiles(boost::asio::thread_pool& disk);

  /// The files of these inputs as they are now, folders opened up. Rejects, naming the file, when
  /// one cannot be read.
  kj::Promise<InputBlobs> describe(const std::vector<InputFile>& inputs);

  boost::asio::thread_pool& disk() { return disk_; }

 private:
  boost::asio::thread_pool& disk_;
  std::shared_ptr<program::DigestCache> digests_;  ///< the disk thread's
};

/// What inputs one slave has, as long as it is connected. RPC loop.
class InputShipment {
 public:
  /// `heard`: the slave gives a sign of life.
  InputShipment(InputFiles& files, UploadLane& lane, rpc::Heard heard)
      : files_(files), lane_(lane), heard_(std::move(heard)) {}

  /// Sends what the slave lacks; each file once, however many commands want it at the same time.
  kj::Promise<void> send(proto::Store::Client store, const std::vector<InputBlob>& blobs);
  /// The connection was lost.
  void forget() { known_.clear(); }
  /// The slave may lack some of these; what is on its way to it is not asked for again.
  void forget(const std::vector<InputBlob>& blobs);

 private:
  struct Known {
    std::shared_ptr<JointUpload> upload;  ///< of this file and others
    std::chrono::steady_clock::time_point since;
  };
  kj::Promise<void> put_lacking(proto::Store::Client store,
                                std::shared_ptr<std::vector<InputBlob>> blobs);
  kj::Promise<void> put(proto::Store::Client store, const InputBlob& blob);

  InputFiles& files_;
  UploadLane& lane_;
  rpc::Heard heard_;
  std::map<Digest, Known> known_;
};

}  // namespace knee::driver
