#pragma once

#include <cstdint>
#include <filesystem>

#include <sys/types.h>

namespace knee::slave {

/// Where the store is when nobody says: $XDG_CACHE_HOME/knee/store if that variable is an absolute
/// path, else $HOME/.cache/knee/store if $HOME is a folder this process may write to, else
/// /var/tmp/knee-<uid>. The variables are passed in; nullptr means not set. Creates nothing.
std::filesystem::path default_store_folder(const char* xdg_cache_home, const char* home, uid_t uid);

/// The size limit when nobody says, in bytes: 10 GiB or a tenth of the disk `folder` is or will be
/// on, whichever is less.
std::uint64_t default_store_size(const std::filesystem::path& folder);

}  // namespace knee::slave
