#pragma once

#include <array>
#include <cstdint>
#include <filesystem>

#include <sys/stat.h>

namespace knee::slave {

/// Four words that change when somebody touches a file: inode, size, mtime and ctime in ns. Taken
/// when the content was known to be good; as long as the file still shows the same seal it is not
/// hashed again. The kernel sets ctime itself, so restoring size and mtime does not hide a change.
///
/// Not noticed: a change within the same tick of the file system's clock (4 ms or less) in which
/// the seal was taken, and a disk that returns other bytes than were written.
using Seal = std::array<std::uint64_t, 4>;

Seal seal_of(const struct stat& status);

/// What a folder looks like with everything in it, names, modes and the seal of each file and
/// symbolic link, and the room it takes. The folder's own name and times do not count, so that it
/// can be renamed.
struct FolderSeal {
  Seal seal{};
  std::uint64_t disk_bytes = 0;
};

/// Blocks on the disk. Throws std::system_error if something in the folder cannot be looked at.
FolderSeal seal_of_folder(const std::filesystem::path& folder);

/// The room a file of `size` bytes is counted with: whole blocks of 4 KiB.
std::uint64_t disk_bytes_of(std::uint64_t size);

/// A number of this boot of the machine, never 0. Data that was written before a power cut may not
/// have reached the disk although size and times have, so a seal is good for one boot only; that
/// is cheaper than fsync on each blob. Where the kernel does not tell, a new random number.
std::uint64_t this_boot();

}  // namespace knee::slave
