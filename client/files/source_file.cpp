#include "client/files/source_file.h"

#include <fcntl.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "client/files/file_bytes.h"
#include "client/files/file_error.h"
#include "client/files/limits.h"

namespace knee::detail {

SourceFile::SourceFile(std::string path) : path_(std::move(path)) {
  // Here, since what makes the hasher sets errno where OpenSSL has no configuration. A pipe must
  // not hold up the thread.
  fd_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd_) fail_on_file("open", path_);
  if (::fstat(fd_.get(), &opened_) != 0) fail_on_file("look at", path_);
  if (!S_ISREG(opened_.st_mode))
    throw std::runtime_error("cannot copy '" + path_ + "': it is not a regular file");
}

SourceFile::Begin SourceFile::begin() const {
  return {static_cast<std::uint64_t>(opened_.st_size), opened_.st_mode & 0777U};
}

std::uint64_t SourceFile::skip(std::uint64_t most) {
  const auto count = hash_at(fd_.get(), most, offset_, path_, hasher_);
  offset_ += count;
  return count;
}

std::string SourceFile::digest() const {
  return raw(hasher_.so_far());
}

void SourceFile::rewind() {
  hasher_.finish();
  offset_ = 0;
}

std::string SourceFile::read(std::uint64_t most) {
  std::string bytes(std::min<std::uint64_t>(most, kMostInACall), '\0');
  bytes.resize(read_at(fd_.get(), bytes, offset_, path_));
  hasher_.update(std::as_bytes(std::span(bytes)));
  offset_ += bytes.size();
  return bytes;
}

std::string SourceFile::finish() {
  struct stat now {};
  if (::fstat(fd_.get(), &now) != 0) fail_on_file("look at", path_);
  const auto stamp = [](const struct stat& status) {
    return std::tuple(status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  };
  if (stamp(now) != stamp(opened_))
    throw std::runtime_error("'" + path_ +
                             "' has changed while it was copied: copy it again when nobody writes "
                             "to it");
  return digest();
}

}  // namespace knee::detail
