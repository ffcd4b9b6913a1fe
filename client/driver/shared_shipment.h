#pragma once
#include <kj/async.h>
#include <kj/function.h>

#include <map>

#include <knee/shared.h>

#include "client/driver/joint_upload.h"
#include "client/driver/upload_lane.h"
#include "common/rpc/byte_stream.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

/// What shared values one slave's session has, as long as it is connected. RPC loop.
class SharedShipment {
 public:
  /// `announce` names a value that is in the store to the session; `heard`: the slave gives a sign
  /// of life.
  using Announce = kj::Function<kj::Promise<void>(const detail::SharedBlobRef& blob)>;
  SharedShipment(UploadLane& lane, Announce announce, rpc::Heard heard)
      : lane_(lane), announce_(kj::mv(announce)), heard_(std::move(heard)) {}

  /// Sends what the slave lacks; each value once, however many tasks want it at the same time. What
  /// failed is tried again by the next call.
  kj::Promise<void> send(proto::Store::Client store, const detail::SharedBlobRef& blob);
  /// The connection was lost.
  void forget() { known_.clear(); }

 private:
  kj::Promise<void> put_if_lacking(proto::Store::Client store, const detail::SharedBlobRef& blob);

  UploadLane& lane_;
  Announce announce_;
  rpc::Heard heard_;
  std::map<detail::DigestBytes, JointUpload> known_;
};

}  // namespace knee::driver
