#pragma once
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "slave/disk_pool.h"
#include "slave/store/blob_store.h"

namespace knee::slave {

/// A file that is kept in the store as long as this lives, and shortly after. Lives on the loop.
class PinnedInput {
 public:
  /// Pins on the disk pool, soon. A file that is gone by then is missed by who wants to use it.
  PinnedInput(DiskPool& disk, BlobStore& store, const Digest& digest);
  /// Unpins on the disk pool.
  ~PinnedInput();
  PinnedInput(const PinnedInput&) = delete;

 private:
  DiskPool& disk_;
  std::shared_ptr<std::optional<BlobPin>> pin_;  ///< shared with the pool's job
};

/// Holds of one command on its inputs; shared, since many commands want the same file.
using InputHolds = std::vector<std::shared_ptr<const PinnedInput>>;

/// Keeps the input files of a session's commands in the store from when a command is accepted until
/// it has ended or was given back. Each file is pinned once, however many commands want it. Lives
/// on the loop; holds may outlive it.
class InputPins {
 public:
  InputPins(DiskPool& disk, BlobStore& store) : disk_(disk), store_(store) {}

  InputHolds hold(const std::vector<Digest>& digests);

 private:
  void forget_released();

  DiskPool& disk_;
  BlobStore& store_;
  std::map<Digest, std::weak_ptr<const PinnedInput>> pinned_;
  std::size_t forget_at_ = 64;  ///< size of `pinned_` at which it is worth looking through
};

}  // namespace knee::slave
