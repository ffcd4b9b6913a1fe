#pragma once
#include <optional>
#include <string>

#include "slave/disk_pool.h"

namespace knee::slave {

/// Makes a new, empty folder below `scratch` whose name begins with `prefix`. Throws
/// std::system_error.
std::string make_working_folder(const std::string& scratch, const std::string& prefix);

/// Removes it with all it holds. What ran there may still be dying and write into it: tries for
/// a second. Blocks on the disk: not on the loop.
void remove_working_folder(const std::string& path);

/// The folder in which a worker runs. Lives on the loop; destruction has it removed by the disk
/// pool, soon.
class WorkingFolder {
 public:
  /// `disk` outlives it. Throws what make_working_folder throws.
  WorkingFolder(DiskPool& disk, const std::string& scratch, const std::string& prefix)
      : disk_(&disk), path_(make_working_folder(scratch, prefix)) {}
  WorkingFolder(WorkingFolder&& other) noexcept
      : disk_(other.disk_), path_(std::exchange(other.path_, std::nullopt)) {}
  WorkingFolder& operator=(WorkingFolder&&) = delete;
  ~WorkingFolder();

  const std::string& path() const { return *path_; }

 private:
  DiskPool* disk_;
  std::optional<std::string> path_;  ///< none: moved from
};

}  // namespace knee::slave
