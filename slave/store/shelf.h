#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "slave/store/run_folder.h"
#include "slave/store/store_folder.h"
#include "slave/store/store_index.h"
#include "slave/store/store_report.h"

namespace knee::slave {

class StorePin;

/// The entries on disk and the room they take: what is here, what is pinned, what is evicted.
/// Behind BlobStore, which adds what makes an entry good. Never hashes; its lock is held for short
/// steps only.
///
/// Any thread. Calls that take a Held need the lock it stands for.
class Shelf {
 public:
  Shelf(const std::filesystem::path& folder, std::uint64_t size_limit);
  ~Shelf();

  /// The store's lock, with the index up to date; changes are written when it is destroyed.
  class Held {
   public:
    explicit Held(Shelf& shelf);
    ~Held();

   private:
    Shelf& shelf_;
    StoreFolder::Lock lock_;
  };

  const StoreFolder& folder() const { return folder_; }
  std::uint64_t size_limit() const { return size_limit_; }
  std::filesystem::path path_of(const EntryKey& key) const;

  /// A path for something that is being made; removed at the next start if it is left there.
  std::filesystem::path fresh_path() { return run_->path() / run_->fresh_name(); }

  /// The entry is on disk. Forgets about it if not.
  bool exists(const Held&, const EntryKey& key);

  /// The blob is on disk and looks as it did when it was verified.
  bool is_good_blob(const Held&, const EntryKey& key) const;

  /// The derived folder is on disk and looks as it did when it was made.
  bool is_good_folder(const Held&, const EntryKey& key) const;

  /// Protects the entry, which exists, and notes a use. Throws std::system_error.
  StorePin pin(const Held&, const EntryKey& key);
  void touch(const Held&, const EntryKey& key);
  void unpin(const EntryKey& key) noexcept;

  /// Moves what was made at `fresh` into the store. `disk_bytes` fit or were reserved before.
  /// Throws std::system_error.
  void adopt(const Held&, const EntryKey& key, const std::filesystem::path& fresh,
             std::uint64_t disk_bytes);

  /// Notes that the entry is good as it looks now.
  void seal(const Held&, const EntryKey& key, const Seal& seal, std::uint64_t disk_bytes);

  /// Removes the entry from disk, pinned or not.
  void discard(const Held&, const EntryKey& key);

  /// Evicts until `disk_bytes` more would keep the store under its limit. Throws
  /// std::runtime_error, having evicted nothing, if the store is too small, and StoreInUse if what
  /// is pinned does not leave that much.
  Evicted make_room(const Held&, std::uint64_t disk_bytes);

  /// Evicts until the disk has `disk_bytes` free, or nothing if that is not to be had.
  Evicted free_disk(const Held&, std::uint64_t disk_bytes);

  /// Evicts what is over the limit, as far as it is not pinned: other processes add entries too,
  /// and a limit may have become smaller.
  void shrink(const Held& held);

  /// Room promised to blobs on their way in; counts as used.
  void reserve(const Held& held, std::uint64_t disk_bytes);
  void release(std::uint64_t disk_bytes) noexcept { reserved_ -= disk_bytes; }

  const std::map<EntryKey, Entry>& entries(const Held&) const { return index_.entries(); }
  std::uint64_t disk_bytes(const Held&) const { return index_.disk_bytes(); }

  void report(bool warning, std::string text);
  std::vector<StoreReport> take_reports();

 private:
  struct Victims {
    std::vector<EntryKey> keys;
    std::uint64_t disk_bytes = 0;
  };

  void reconcile();
  void learn_of(const EntryKey& key, int folder, const std::string& name);
  Victims victims(std::uint64_t disk_bytes);
  Evicted evict(const Held&, const Victims& victims);
  int folder_of(EntryKind kind) const;

  const std::uint64_t size_limit_;
  StoreFolder folder_;
  StoreIndex index_;
  std::optional<RunFolder> run_;
  std::atomic<std::uint64_t> reserved_ = 0;
  std::mutex reports_mutex_;
  std::vector<StoreReport> reports_;
};

}  // namespace knee::slave
