#include "slave/store/store_folder.h"

#include <stdexcept>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace knee::slave {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAdvice = "; choose another folder with --store";

/// An absolute path without a trailing slash, which would make the kernel follow a symbolic link.
fs::path plain(const fs::path& path) {
  fs::path result = fs::absolute(path).lexically_normal();
  return result.has_filename() ? result : result.parent_path();
}

void make_folder(const fs::path& path) {
  if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
  if (errno == ENOENT && path.has_relative_path()) {
    make_folder(path.parent_path());
    if (mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
  }
  throw_errno("cannot create the store's folder " + path.string() + kAdvice);
}

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw std::runtime_error("refusing to use " + path.string() + " as a store: " + why + kAdvice);
}

void check(const fs::path& path, const struct stat& status) {
  if (S_ISLNK(status.st_mode)) refuse(path, "it is a symbolic link");
  if (!S_ISDIR(status.st_mode)) refuse(path, "it is not a folder");
  if (status.st_uid != geteuid())
    refuse(path, "it belongs to user id " + std::to_string(status.st_uid) + ", not to " +
                     std::to_string(geteuid()));
  if ((status.st_mode & 022) != 0)
    refuse(path, "other users may write to it (chmod go-w makes it safe)");
}

UniqueFd open_checked(const fs::path& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0)
    throw_errno("cannot look at the store's folder " + path.string() + kAdvice);
  check(path, status);
  UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  // Looked at again through the descriptor: what the name means may have changed since.
  if (!folder || fstat(folder.get(), &status) != 0)
    throw_errno("cannot open the store's folder " + path.string() + kAdvice);
  check(path, status);
  if (faccessat(folder.get(), ".", W_OK | X_OK, AT_EACCESS) != 0)
    throw_errno("cannot write to the store's folder " + path.string() + kAdvice);
  return folder;
}

UniqueFd open_inside(const fs::path& path, int folder, const char* name) {
  if (mkdirat(folder, name, 0700) != 0 && errno != EEXIST)
    throw_errno("cannot create " + (path / name).string() + kAdvice);
  UniqueFd inside(openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!inside) throw_errno("cannot open " + (path / name).string() + kAdvice);
  return inside;
}

UniqueFd open_lock(const fs::path& path, int folder) {
  UniqueFd lock(openat(folder, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!lock) throw_errno("cannot open " + (path / "lock").string() + kAdvice);
  return lock;
}

void wait_for_lock(int fd, const fs::path& path) {
  while (flock(fd, LOCK_EX) != 0)
    if (errno != EINTR) throw_errno("cannot lock " + (path / "lock").string() + kAdvice);
}

}  // namespace

StoreFolder::StoreFolder(const fs::path& path) : path_(plain(path)) {
  make_folder(path_);
  folder_ = open_checked(path_);
  lock_ = open_lock(path_, fd());
  blobs_ = open_inside(path_, fd(), "blobs");
  derived_ = open_inside(path_, fd(), "derived");
  run_ = open_inside(path_, fd(), "run");
}

StoreFolder::Lock::Lock(StoreFolder& folder) : folder_(folder), threads_(folder.mutex_) {
  wait_for_lock(folder_.lock_.get(), folder_.path_);
}

StoreFolder::Lock::~Lock() {
  flock(folder_.lock_.get(), LOCK_UN);
}

std::uint64_t StoreFolder::free_bytes() const {
  struct statvfs status;
  if (fstatvfs(fd(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

bool StoreFolder::noexec() const {
  struct statvfs status;
  return fstatvfs(fd(), &status) == 0 && (status.f_flag & ST_NOEXEC) != 0;
}

}  // namespace knee::slave
