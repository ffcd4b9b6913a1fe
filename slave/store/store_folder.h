#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>

#include "common/base/unique_fd.h"

namespace knee::slave {

/// The store's folder on disk, checked and open:
///
///     lock       held (flock) while anything below is changed
///     index.1    what is known about the entries (StoreIndex)
///     blobs/     one file per blob, named by its hash
///     derived/   one folder per derived folder, named by its key and the boot
///     run/       one folder per living process that uses the store (RunFolder)
///
/// Any thread.
class StoreFolder {
 public:
  /// Creates what is missing, with mode 0700, parents too. Throws std::system_error or
  /// std::runtime_error if the folder cannot be created or written, is a symbolic link, belongs to
  /// another user, may be written by others, or lies on a file system without locks.
  explicit StoreFolder(const std::filesystem::path& path);

  /// Keeps other threads and other processes out while it lives. Waits for them.
  class Lock {
   public:
    explicit Lock(StoreFolder& folder);
    ~Lock();
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    StoreFolder& folder_;
    std::unique_lock<std::mutex> threads_;
  };

  const std::filesystem::path& path() const { return path_; }
  int fd() const { return folder_.get(); }
  int blobs() const { return blobs_.get(); }
  int derived() const { return derived_.get(); }
  int run() const { return run_.get(); }

  /// What an ordinary user may still write to the disk, in bytes.
  std::uint64_t free_bytes() const;

  /// Nothing in it can be executed: the file system is mounted noexec.
  bool noexec() const;

 private:
  std::filesystem::path path_;
  UniqueFd folder_;
  UniqueFd lock_;
  UniqueFd blobs_;
  UniqueFd derived_;
  UniqueFd run_;
  std::mutex mutex_;
};

}  // namespace knee::slave
