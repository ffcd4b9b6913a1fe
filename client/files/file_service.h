#pragma once
#include <knee/files.h>

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/files/open_file.h"
#include "client/files/partial_file.h"
#include "client/files/source_file.h"

namespace knee::detail {

/// What a folder holds, piece by piece, since it may be more than a call carries.
class FolderReader {
 public:
  /// Names are read at once, so that what is made meanwhile is not among them.
  explicit FolderReader(const std::string& path);
  /// Some more, sorted by name; none at the end. What has been removed meanwhile is left out.
  std::vector<FileStatus> next();

 private:
  std::filesystem::path path_;
  std::deque<std::string> names_;
};

/// The files of this machine: what a Files refers to, on a slave or here. Throws std::runtime_error
/// that names the file and the reason.
class FileService {
 public:
  /// As a slave has it: relative paths begin in $HOME.
  FileService();
  /// Relative paths begin there.
  explicit FileService(std::string base) : base_(std::move(base)) {}

  /// As Files::status.
  std::optional<FileStatus> status(const std::string& path) const;
  Ref<FolderReader> list(const std::string& folder) const;
  Ref<OpenFile> open(const std::string& path, OpenMode mode) const;
  Ref<SourceFile> copy_from(const std::string& path) const;
  Ref<PartialFile> copy_to(const std::string& path) const;
  /// Also those above it. `mode`: permission bits of those that are made, beside u+rwx.
  void make_folder(const std::string& path, std::uint32_t mode) const;
  /// A link that leads to `target`, in place of what is there, unless that is a folder.
  void make_link(const std::string& path, const std::string& target) const;
  void rename(const std::string& from, const std::string& to) const;
  void remove(const std::string& path) const;

 private:
  std::string resolve(const std::string& path) const;

  std::optional<std::string> base_;
};

/// The environment of a worker of a slave.
class Environment {
 public:
  std::map<std::string, std::string> variables() const;
};

}  // namespace knee::detail
