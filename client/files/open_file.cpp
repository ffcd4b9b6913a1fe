#include "client/files/open_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "client/files/file_bytes.h"
#include "client/files/file_error.h"
#include "client/files/limits.h"

namespace knee::detail {
namespace {

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::read:
      return O_RDONLY;
    case OpenMode::write:
      return O_WRONLY | O_CREAT | O_TRUNC;
    case OpenMode::append:
      return O_WRONLY | O_CREAT | O_APPEND;
    case OpenMode::update:
      return O_RDWR | O_CREAT;
  }
  throw std::runtime_error("no such way to open a file");
}

}  // namespace

OpenFile::OpenFile(std::string path, OpenMode mode)
    : path_(std::move(path)),
      fd_(::open(path_.c_str(), flags_of(mode) | O_CLOEXEC | O_NOCTTY, 0666)) {
  if (!fd_) fail_on_file(mode == OpenMode::read ? "open" : "open for writing", path_);
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) fail_on_file("look at", path_);
  if (S_ISDIR(status.st_mode)) fail_on_file("open", path_, EISDIR);
  seekable_ = ::lseek(fd_.get(), 0, SEEK_CUR) >= 0;
}

int OpenFile::descriptor() const {
  if (!fd_) throw std::runtime_error("'" + path_ + "' has been closed");
  return fd_.get();
}

std::string OpenFile::read(std::uint64_t offset, std::uint64_t most) {
  std::string bytes(std::min(most, kMostInACall), '\0');
  if (seekable_) {
    bytes.resize(read_at(descriptor(), bytes, offset, path_));
    return bytes;
  }
  ssize_t count = 0;
  do count = ::read(descriptor(), bytes.data(), bytes.size());
  while (count < 0 && errno == EINTR);
  if (count < 0) fail_on_file("read", path_);
  bytes.resize(static_cast<std::size_t>(count));
  return bytes;
}

void OpenFile::write(std::uint64_t offset, const std::string& bytes) {
  if (seekable_) return write_at(descriptor(), bytes, offset, path_);
  for (std::size_t done = 0; done < bytes.size();) {
    const auto count = ::write(descriptor(), bytes.data() + done, bytes.size() - done);
    if (count >= 0)
      done += static_cast<std::size_t>(count);
    else if (errno != EINTR)
      fail_on_file("write", path_);
  }
}

std::uint64_t OpenFile::size() const {
  struct stat status {};
  if (::fstat(descriptor(), &status) != 0) fail_on_file("look at", path_);
  return static_cast<std::uint64_t>(status.st_size);
}

void OpenFile::resize(std::uint64_t size) {
  if (::ftruncate(descriptor(), static_cast<off_t>(size)) != 0) fail_on_file("resize", path_);
}

void OpenFile::sync() {
  if (::fsync(descriptor()) != 0) fail_on_file("write", path_);
}

void OpenFile::close() {
  if (fd_ && ::close(fd_.release()) != 0) fail_on_file("write", path_);
}

}  // namespace knee::detail
