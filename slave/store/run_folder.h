#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "common/base/unique_fd.h"

namespace knee::slave {

/// This process's own folder below run/ in the store. It holds the files and folders that are not
/// finished, and an empty file in pins/ for each entry that must not be evicted. Its file `alive`
/// stays locked (flock) as long as the process lives, so other processes can tell what a dead one
/// left, without process ids, which mean nothing between containers and machines that share a
/// folder. Pins are files and not locks on the blobs because NFS grants exclusive locks only on
/// files open for writing, and because a pin must not cost a descriptor.
///
/// Construct, destroy and call pinned() with the store's lock held; the rest from any thread.
class RunFolder {
 public:
  /// `run` is the open run/ folder, `path` its name. Throws std::system_error.
  RunFolder(int run, const std::filesystem::path& path);

  /// Removes the folder with everything in it.
  ~RunFolder();

  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  int fd() const { return folder_.get(); }
  const std::filesystem::path& path() const { return path_; }

  /// A name for a new file or folder in it.
  std::string fresh_name();

  /// Protects an entry until as many calls of unpin() took it back. Pinning needs the store's lock:
  /// who evicts must see the pin or have removed the entry before. Throws std::system_error.
  void pin(const std::string& name);

  /// The last one calls nobody: the entry may be evicted from now on. Needs no lock.
  void unpin(const std::string& name) noexcept;

  /// The names pinned by any living process. Removes what dead processes left.
  std::set<std::string> pinned();

  /// How many dead processes' folders pinned() removed, so far.
  std::size_t removed() const { return removed_; }

 private:
  void add_pins_of(const std::string& name, std::set<std::string>& pins);

  int run_;
  std::filesystem::path path_;
  UniqueFd folder_;
  UniqueFd alive_;
  UniqueFd pins_;
  std::mutex mutex_;
  std::map<std::string, std::size_t> counts_;  // of own pins
  std::size_t names_ = 0;
  std::size_t removed_ = 0;
};

/// Removes a file or a folder, also one with read-only folders in it. What cannot be removed stays;
/// says why.
std::error_code remove_tree(const std::filesystem::path& path) noexcept;

}  // namespace knee::slave
