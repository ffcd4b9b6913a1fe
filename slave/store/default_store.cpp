#include "slave/store/default_store.h"

#include <algorithm>
#include <string>

#include <sys/statvfs.h>
#include <unistd.h>

namespace knee::slave {

namespace fs = std::filesystem;

fs::path default_store_folder(const char* xdg_cache_home, const char* home, uid_t uid) {
  if (xdg_cache_home != nullptr && *xdg_cache_home == '/')
    return fs::path(xdg_cache_home) / "knee/store";
  std::error_code none;
  if (home != nullptr && *home == '/' && fs::is_directory(home, none) && access(home, W_OK) == 0)
    return fs::path(home) / ".cache/knee/store";
  return "/var/tmp/knee-" + std::to_string(uid);
}

std::uint64_t default_store_size(const fs::path& folder) {
  constexpr std::uint64_t kMost = std::uint64_t{10} << 30;
  fs::path existing = fs::absolute(folder);
  struct statvfs status;
  while (statvfs(existing.c_str(), &status) != 0) {
    if (!existing.has_relative_path()) return kMost;
    existing = existing.parent_path();
  }
  return std::min(kMost, static_cast<std::uint64_t>(status.f_blocks) * status.f_frsize / 10);
}

}  // namespace knee::slave
