#pragma once

#include <filesystem>
#include <string>

namespace knee::test {

/// A folder of its own, below $TMPDIR or /tmp, removed with what it holds. Its name is short, since
/// the path of a Unix socket has room for 107 bytes.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace knee::test
