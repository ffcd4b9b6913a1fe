#pragma once
#include <kj/async.h>

#include <cstdint>
#include <deque>

namespace knee::driver {

/// Lets large things leave for a slave one after the other, in the order they came: what is given
/// to a connection is ahead of all that follows, and heartbeats and small tasks must not wait for
/// gigabytes. Small uploads share the lane up to 4 MiB, since each also waits for an answer. Lives
/// on the RPC loop; outlives its turns.
class UploadLane {
 public:
  /// The right to send so many bytes; given up when destroyed.
  class Turn {
   public:
    Turn(UploadLane& lane, std::uint64_t bytes);
    ~Turn();
    KJ_DISALLOW_COPY(Turn);

   private:
    UploadLane& lane_;
    std::uint64_t bytes_;
  };

  UploadLane() = default;
  KJ_DISALLOW_COPY(UploadLane);

  /// Who drops the promise leaves the queue.
  kj::Promise<kj::Own<Turn>> take(std::uint64_t bytes);

 private:
  void let_in();

  struct Waiting {
    std::uint64_t bytes;
    kj::Own<kj::PromiseFulfiller<kj::Own<Turn>>> turn;
  };
  std::deque<Waiting> waiting_;
  std::uint64_t bytes_ = 0;  ///< of the turns taken
};

}  // namespace knee::driver
