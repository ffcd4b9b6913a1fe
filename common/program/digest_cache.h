#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/digest.h"

namespace knee::program {

/// Remembers the digests of files between runs, so that a driver of gigabytes starts at once. A
/// file is known again by device, inode, size, and times of modification and change. Any number of
/// processes may use one cache file; of two that write at once, one's new entries may be lost,
/// never an old file damaged. A cache that is absent, unreadable, unwritable or damaged only costs
/// time.
///
/// Belongs to one thread.
class DigestCache {
 public:
  /// The most files remembered; of more, those asked for longest ago are forgotten.
  static constexpr std::size_t kMostEntries = 4096;

  /// Uses the file `path`; with "" nothing is remembered. Reads it at once.
  explicit DigestCache(std::string path);
  DigestCache(const DigestCache&) = delete;
  DigestCache& operator=(const DigestCache&) = delete;

  /// $XDG_CACHE_HOME/knee/digests, else $HOME/.cache/knee/digests, else "".
  static std::string default_path();

  /// The digest of the whole file behind `fd`. Hashes it (blocks on the disk) unless it is known.
  /// `name` is what errors call it. Throws std::system_error if it cannot be read, and
  /// std::runtime_error if it changes while it is hashed.
  Digest digest_of(int fd, const std::string& name);

  /// Writes what is new. Never throws for reasons of the file system.
  void save();

  /// How many files this object had to hash.
  std::size_t hashed() const { return hashed_; }

 private:
  // Device, inode, size, mtime and ctime in nanoseconds.
  using Key = std::array<std::uint64_t, 5>;

  static Key key_of(int fd, const std::string& name);
  void read();
  void add(const Key& key, const Digest& digest);
  std::string text() const;

  std::string path_;
  std::map<Key, Digest> entries_;
  std::vector<Key> order_;  // entries_'s keys, asked for longest ago first
  std::size_t hashed_ = 0;
  bool changed_ = false;
};

}  // namespace knee::program
