#pragma once
#include <string>

#include "common/base/unique_fd.h"

namespace knee::slave {

/// The folder in which a slave makes the working folders of workers and commands: one for each
/// running knee-slave, below $TMPDIR or /tmp. Its owner holds a lock (flock) on it, so that a
/// folder whose owner was killed can be told from one in use. Destruction removes it with all that
/// is in it.
class ScratchFolder {
 public:
  /// Makes a new one below `base`. Throws std::system_error.
  explicit ScratchFolder(std::string base = default_base());
  ScratchFolder(const ScratchFolder&) = delete;
  ~ScratchFolder();

  const std::string& path() const { return path_; }
  const std::string& base() const { return base_; }

  /// Removes those below `base` that belong to this user and that nobody owns any more. Blocks on
  /// the disk; any thread. What cannot be removed stays.
  static void sweep(const std::string& base);

  static std::string default_base();

 private:
  std::string base_;
  std::string path_;
  UniqueFd lock_;
};

}  // namespace knee::slave
