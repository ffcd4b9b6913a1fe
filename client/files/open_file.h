#pragma once
#include <knee/files.h>

#include <cstdint>
#include <string>

#include "common/base/unique_fd.h"

namespace knee::detail {

/// An open file of this machine: what a RemoteFile refers to. Throws std::runtime_error that names
/// the file.
class OpenFile {
 public:
  OpenFile(std::string path, OpenMode mode);

  /// Files, most devices; not pipes.
  bool seekable() const { return seekable_; }
  /// As RemoteFile::read.
  std::string read(std::uint64_t offset, std::uint64_t most);
  void write(std::uint64_t offset, const std::string& bytes);
  std::uint64_t size() const;
  void resize(std::uint64_t size);
  void sync();
  void close();

 private:
  int descriptor() const;

  std::string path_;
  UniqueFd fd_;
  bool seekable_ = false;
};

}  // namespace knee::detail
