#include "scratch_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>

#include "common/base/check.h"

namespace knee::slave {
namespace {

constexpr char kPrefix[] = "knee-slave-";
constexpr int kMostTries = 100;

UniqueFd open_folder(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

/// False: somebody else owns it.
bool own(const UniqueFd& folder) {
  return folder && ::flock(folder.get(), LOCK_EX | LOCK_NB) == 0;
}

/// A sweep may take a folder for an abandoned one between its making and its locking.
bool is_there(const UniqueFd& folder) {
  struct stat about {};
  return ::fstat(folder.get(), &about) == 0 && about.st_nlink != 0;
}

bool is_mine(const UniqueFd& folder) {
  struct stat about {};
  return ::fstat(folder.get(), &about) == 0 && about.st_uid == ::geteuid();
}

}  // namespace

std::string ScratchFolder::default_base() {
  const char* base = std::getenv("TMPDIR");
  return base != nullptr && *base != 0 ? base : "/tmp";
}

ScratchFolder::ScratchFolder(std::string base) : base_(std::move(base)) {
  for (int tries = 0; tries < kMostTries; ++tries) {
    path_ = base_ + "/" + kPrefix + "XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr)
      throw_errno("cannot make a scratch folder '" + path_ +
                  "' (set TMPDIR to a writable place with room)");
    lock_ = open_folder(path_);
    if (own(lock_) && is_there(lock_)) return;
  }
  throw std::system_error(EBUSY, std::generic_category(),
                          "cannot keep a scratch folder below '" + base_ + "'");
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void ScratchFolder::sweep(const std::string& base) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(base, ignored)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    const UniqueFd folder = open_folder(entry.path());
    if (folder && is_mine(folder) && own(folder))
      std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace knee::slave
