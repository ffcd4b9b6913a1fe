#include "client/files/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <thread>

#include "client/files/file_bytes.h"
#include "client/files/file_error.h"

namespace knee::detail {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// A process that was copying may just be ending.
constexpr auto kPatience = 5s;
constexpr std::size_t kMostName = 255;

/// The path itself, or if it is a link that leads somewhere, where.
fs::path behind_links(const std::string& path) {
  std::error_code error;
  if (fs::is_symlink(fs::symlink_status(path, error))) {
    auto target = fs::canonical(path, error);
    if (!error) return target;
  }
  return path;
}

void check_target(const std::string& target, const std::string& folder) {
  struct stat status {};
  if (::stat(target.c_str(), &status) == 0) {
    if (!S_ISREG(status.st_mode))
      throw std::runtime_error("cannot replace '" + target + "': it is " +
                               (S_ISDIR(status.st_mode) ? "a folder" : "not a regular file"));
  } else if (::stat(folder.c_str(), &status) != 0) {
    if (errno == ENOENT)
      throw std::runtime_error("cannot make '" + target + "': there is no folder '" + folder +
                               "' (make it first)");
    fail_on_file("look at", folder);
  } else if (!S_ISDIR(status.st_mode)) {
    throw std::runtime_error("cannot make '" + target + "': '" + folder + "' is not a folder");
  }
}

}  // namespace

std::string PartialFile::name_for(const std::string& name) {
  static const std::string end = ".knee-part";
  std::string part = "." + name + end;
  if (part.size() <= kMostName) return part;
  const auto digest = digest_of(std::as_bytes(std::span(name))).hex().substr(0, 16);
  return "." + name.substr(0, kMostName - 2 - digest.size() - end.size()) + "." + digest + end;
}

PartialFile::PartialFile(const std::string& target) {
  const fs::path path = behind_links(target);
  target_ = path;
  folder_ = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (!path.has_filename())
    throw std::runtime_error("cannot make '" + target_ + "': there is no such folder");
  part_ = fs::path(folder_) / name_for(path.filename());
  if (!path.has_parent_path()) part_ = name_for(path.filename());
  check_target(target_, folder_);
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!open_and_lock()) {
    if (std::chrono::steady_clock::now() > end)
      throw std::runtime_error("cannot make '" + target_ +
                               "': another copy to it is under way, which writes '" + part_ +
                               "' (if its driver has lost its connection, wait until the slave "
                               "has noticed that)");
    std::this_thread::sleep_for(10ms);
  }
}

/// False: another has it.
bool PartialFile::open_and_lock() {
  fd_.reset(::open(part_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!fd_) fail_on_file("make", part_);
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    fail_on_file("lock", part_);
  }
  struct stat ours {};
  struct stat named {};
  if (::fstat(fd_.get(), &ours) != 0) fail_on_file("look at", part_);
  // It may have got its name, or have been removed, while we opened it.
  if (::lstat(part_.c_str(), &named) != 0 || named.st_ino != ours.st_ino ||
      named.st_dev != ours.st_dev)
    return false;
  if (!S_ISREG(ours.st_mode))
    throw std::runtime_error("cannot write '" + part_ + "': it is not a regular file");
  length_ = static_cast<std::uint64_t>(ours.st_size);
  return true;
}

PartialFile::~PartialFile() {
  leave();
}

std::uint64_t PartialFile::skip(std::uint64_t most) {
  const auto count = hash_at(fd_.get(), most, hashed_, part_, hasher_);
  hashed_ += count;
  return count;
}

std::string PartialFile::digest() const {
  return raw(hasher_.so_far());
}

void PartialFile::rewind() {
  if (::ftruncate(fd_.get(), 0) != 0) fail_on_file("empty", part_);
  hasher_.finish();
  length_ = hashed_ = 0;
}

void PartialFile::write(const std::string& bytes) {
  write_at(fd_.get(), bytes, length_, part_);
  hasher_.update(std::as_bytes(std::span(bytes)));
  length_ += bytes.size();
}

void PartialFile::finish(const std::string& digest, std::uint32_t mode, bool sync) {
  if (raw(hasher_.so_far()) != digest) {
    ::unlink(part_.c_str());
    throw std::runtime_error("what arrived for '" + target_ +
                             "' is not what was sent, by its SHA-256, and was removed: copy it "
                             "again");
  }
  if (::fchmod(fd_.get(), mode & 0777) != 0) fail_on_file("set the permissions of", part_);
  if (sync && ::fsync(fd_.get()) != 0) fail_on_file("write", part_);
  // Some file systems tell only at a close that they could not write. Another descriptor, since
  // ours has the lock.
  const int other = ::dup(fd_.get());
  if (other >= 0 && ::close(other) != 0) fail_on_file("write", part_);
  if (std::rename(part_.c_str(), target_.c_str()) != 0) fail_on_file("replace", target_);
  if (sync) {
    const UniqueFd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder) ::fsync(folder.get());
  }
  fd_.reset();
}

void PartialFile::leave() noexcept {
  if (!fd_) return;
  if (length_ == 0) ::unlink(part_.c_str());
  fd_.reset();
}

}  // namespace knee::detail
