#pragma once
#include <knee/files.h>

#include <string>

#include "client/files/file_side.h"

namespace knee::detail {

/// Copies a file, or a folder with all that is below it, from one side to another (Files::copy).
class Copy {
 public:
  Copy(FileSide& from, FileSide& to, const CopyOptions& options)
      : from_(from), to_(to), options_(options) {}

  CopyReport run(const std::string& source, const std::string& target);

 private:
  void copy_file(const std::string& source, const std::string& target);
  void copy_folder(const std::string& source, const std::string& target, std::uint32_t mode);
  void copy_member(const FileStatus& member, const std::string& source, const std::string& target);

  FileSide& from_;
  FileSide& to_;
  const CopyOptions& options_;
  CopyReport report_;
};

/// "x" and "y" as "x/y"; an empty folder is where relative paths begin.
std::string join(const std::string& folder, const std::string& name);

/// The name that a copy into a folder gives what is at that path; empty if the path has none, as
/// ".", so that its content is copied there.
std::string name_in_folder(const std::string& path);

}  // namespace knee::detail
