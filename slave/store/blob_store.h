#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/digest.h"
#include "slave/store/blob_writer.h"
#include "slave/store/store_pin.h"
#include "slave/store/store_report.h"
#include "slave/store/turns.h"

namespace knee::slave {

struct StoreStatistics {
  std::uint64_t bytes = 0;     ///< on disk, in whole blocks, derived folders included
  std::uint64_t limit = 0;     ///< of `bytes`
  std::size_t blobs = 0;       ///< number of blobs
  std::size_t derived = 0;     ///< number of derived folders
  std::uint64_t rehashed = 0;  ///< bytes read from disk to verify blobs, since construction
};

/// Files by the SHA-256 of their content, in a folder of bounded size; the least recently used go
/// first. Beside them derived folders: what was made out of blobs and would be made again.
///
/// Several threads and several processes (also of different containers or machines, if its file
/// system has locks) may use one folder at once. What a killed process was writing is removed at
/// the next start. A blob is hashed on arrival, and again when the file is not the one that was
/// verified, or was verified before the machine last booted; otherwise not, neither after a
/// restart.
///
/// The limit counts whole blocks, and what this process is about to receive. What another process
/// is receiving counts only once it is there; the store shrinks to the limit again right then.
///
/// Any thread may call; all calls may block on the disk, and on other processes' short steps. The
/// store outlives its writers and pins. Destruction removes nothing but unfinished files.
class BlobStore {
 public:
  /// Opens or creates the store. Removes what dead processes left, and evicts if there is more
  /// than `size_limit` bytes. Throws std::system_error or std::runtime_error if the folder is not
  /// to be had or not safe (see StoreFolder).
  BlobStore(const std::filesystem::path& folder, std::uint64_t size_limit);
  ~BlobStore();

  /// Those of `digests` that must be fetched, in their order. The others were verified, unless
  /// known to be good, and count as used now. They can still be evicted when room is short: to keep
  /// one, pin() it.
  std::vector<Digest> lacking(std::span<const Digest> digests);

  /// Makes room for a blob of `size` bytes that is to be written. Throws std::runtime_error if the
  /// store is too small, StoreInUse if what is pinned leaves no room, std::system_error if the disk
  /// is full.
  BlobWriter begin(const Digest& digest, std::uint64_t size);

  /// Protects a blob. nullopt if it is lacking, or was found damaged, which removes it (and says so
  /// in a report). Throws std::system_error if the store cannot be used.
  std::optional<BlobPin> pin(const Digest& digest);

  /// The folder derived from blobs under `key`, protected. If there is none, or it was changed by
  /// somebody, or the machine was booted since, `make(path)` is called with an empty folder to fill
  /// (by this thread, with no lock held); it becomes the derived folder when `make` returns. When
  /// several threads want the same folder one makes it and the others wait; processes may each make
  /// one, of which the first is kept. What `make` throws is passed on; the next one in line tries
  /// again. `make` must not ask for the same key.
  ///
  /// The folder is to hold copies of blobs: hard links would make the blobs be hashed again;
  /// symbolic links are good only while the blobs are pinned too.
  DerivedPin derived(const Digest& key,
                     const std::function<void(const std::filesystem::path& folder)>& make);

  /// Evicts until `needed` more bytes fit under the limit. Throws std::runtime_error if they never
  /// will, having evicted nothing.
  Evicted evict(std::uint64_t needed);

  StoreStatistics statistics();
  /// As given. Does not block.
  std::uint64_t size_limit() const;

  /// What happened since the last call that a log should tell about, oldest first.
  std::vector<StoreReport> take_reports();

 private:
  bool verify(const BlobPin& pin);
  std::optional<DerivedPin> find_derived(const EntryKey& key);
  DerivedPin keep_derived(const EntryKey& key, const std::filesystem::path& made);

  std::unique_ptr<Shelf> shelf_;
  Turns turns_;
  std::atomic<std::uint64_t> rehashed_ = 0;
};

}  // namespace knee::slave
