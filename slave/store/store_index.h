#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/digest.h"
#include "common/base/unique_fd.h"
#include "slave/store/seal.h"

namespace knee::slave {

enum class EntryKind : char { blob = 'b', derived = 'd' };

/// Names one thing in the store.
struct EntryKey {
  EntryKind kind = EntryKind::blob;
  Digest digest;
  std::uint64_t boot = 0;  ///< derived folders belong to one boot (this_boot()); 0 for blobs

  friend auto operator<=>(const EntryKey&, const EntryKey&) = default;

  /// Its name in blobs/ or derived/.
  std::string file_name() const;

  /// The key whose file_name() is `name`, or nullopt for a name the store did not give.
  static std::optional<EntryKey> from_file_name(EntryKind kind, std::string_view name);
};

/// What is known about one thing in the store.
struct Entry {
  std::uint64_t disk_bytes = 0;
  std::int64_t used_ns = 0;  ///< last use, Unix time in ns
  std::uint64_t boot = 0;    ///< the boot in which `seal` was taken; 0: never verified
  Seal seal{};
};

/// What all processes that share a store know about its entries: a file of lines, appended to by
/// whoever changes something; the last line about a key counts. It saves work and is never the
/// truth: what is on disk is. Losing it costs hashing the blobs again.
///
/// Every call needs the store's lock, and refresh() first. A write that fails (full disk) is
/// dropped: this process knows, the others find out when they look at the disk.
class StoreIndex {
 public:
  /// `folder` is the store's folder, open, and outlives the index; `path` is its name.
  StoreIndex(int folder, const std::filesystem::path& path);

  /// Reads what others wrote since the last time. Throws std::system_error if the file cannot be
  /// opened or read.
  void refresh();

  /// Writes out what put, touch and remove noted. Starts the file afresh when most of it is old.
  void flush() noexcept;

  const Entry* find(const EntryKey& key) const;
  const std::map<EntryKey, Entry>& entries() const { return entries_; }
  std::uint64_t disk_bytes() const { return disk_bytes_; }

  void put(const EntryKey& key, const Entry& entry);
  void remove(const EntryKey& key);

  /// Notes a use. Written at most once a second for each key; exact within this process.
  void touch(const EntryKey& key, std::int64_t now_ns);

 private:
  void open_file(int flags, const char* name);
  void read_new_lines(std::uint64_t size);
  void apply(std::string_view line);
  void set(const EntryKey& key, const Entry& entry);
  void erase(const EntryKey& key);
  bool append(int fd, std::string_view text) noexcept;
  void rewrite();

  [[noreturn]] void fail(const std::string& tried) const;

  int folder_;
  std::filesystem::path path_;
  UniqueFd file_;
  std::uint64_t offset_ = 0;  // how far the file has been read, in bytes
  std::uint64_t lines_ = 0;   // in the file
  bool torn_ = false;         // the file ends inside a line
  std::string pending_;       // lines not yet written
  std::map<EntryKey, Entry> entries_;
  std::map<EntryKey, std::int64_t> written_use_;
  std::uint64_t disk_bytes_ = 0;
};

}  // namespace knee::slave
