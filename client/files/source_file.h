#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "common/base/digest.h"
#include "common/base/unique_fd.h"

namespace knee::detail {

/// A file that is copied from: read from its beginning to its end, and hashed. One end of a copy,
/// on whichever machine. Throws std::runtime_error that names the file.
class SourceFile {
 public:
  /// A regular file only.
  explicit SourceFile(std::string path);

  struct Begin {
    std::uint64_t size = 0;
    std::uint32_t mode = 0;  ///< permission bits
  };
  Begin begin() const;

  /// Hashes up to so many bytes that the target has already; gives how many, 0 at the end.
  std::uint64_t skip(std::uint64_t most);
  /// The raw digest of what was skipped.
  std::string digest() const;
  /// Nothing was skipped after all.
  void rewind();

  /// The next bytes; none at the end.
  std::string read(std::uint64_t most);
  /// The raw digest of the whole file. Throws if it has changed since it was opened.
  std::string finish();

 private:
  std::string path_;
  UniqueFd fd_;
  struct stat opened_ {};
  std::uint64_t offset_ = 0;
  Hasher hasher_;
};

}  // namespace knee::detail
