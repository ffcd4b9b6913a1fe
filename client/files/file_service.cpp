#include "client/files/file_service.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "client/files/file_error.h"

namespace knee::detail {
namespace {

namespace fs = std::filesystem;

/// Of a folder, in one answer.
constexpr std::size_t kNamesAtOnce = 4096;

FileStatus::Type type_of(mode_t mode) {
  if (S_ISREG(mode)) return FileStatus::Type::file;
  if (S_ISDIR(mode)) return FileStatus::Type::folder;
  if (S_ISLNK(mode)) return FileStatus::Type::link;
  return FileStatus::Type::other;
}

FileStatus describe(const std::string& name, const struct stat& status) {
  FileStatus file;
  file.name = name;
  file.type = type_of(status.st_mode);
  file.size = static_cast<std::uint64_t>(status.st_size);
  file.mode = status.st_mode & 07777U;
  file.modified = std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(
          std::chrono::seconds(status.st_mtim.tv_sec) +
          std::chrono::nanoseconds(status.st_mtim.tv_nsec)));
  return file;
}

/// The last part of a path, also of "a/b/".
std::string last_part(const fs::path& path) {
  return path.has_filename() ? path.filename() : path.parent_path().filename();
}

std::string target_of(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error);  // empty if it is one no more
}

}  // namespace

FolderReader::FolderReader(const std::string& path) : path_(path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir);
  if (!folder) fail_on_file("list", path);
  errno = 0;
  while (const auto* entry = ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names_.push_back(name);
    errno = 0;
  }
  if (errno != 0) fail_on_file("list", path);
  std::sort(names_.begin(), names_.end());
}

std::vector<FileStatus> FolderReader::next() {
  std::vector<FileStatus> files;
  while (files.size() < kNamesAtOnce && !names_.empty()) {
    const std::string name = std::move(names_.front());
    names_.pop_front();
    struct stat status {};
    const fs::path path = path_ / name;
    if (::lstat(path.c_str(), &status) != 0) {
      if (errno == ENOENT) continue;
      fail_on_file("look at", path);
    }
    files.push_back(describe(name, status));
    if (files.back().type == FileStatus::Type::link) files.back().target = target_of(path);
  }
  return files;
}

FileService::FileService() {
  // A limit of file sizes is an error of the write then, and not the end of this process.
  ::signal(SIGXFSZ, SIG_IGN);
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') base_ = home;
}

std::string FileService::resolve(const std::string& path) const {
  if (path.find('\0') != path.npos) throw std::runtime_error("a path has no zero bytes in it");
  if (path.starts_with('/')) return path;
  if (!base_)
    throw std::runtime_error("'" + path +
                             "' is relative to the home folder, and the slave has none ($HOME): "
                             "begin it with /, or start knee-slave with HOME set");
  if (path.empty()) return *base_;
  return fs::path(*base_) / path;
}

std::optional<FileStatus> FileService::status(const std::string& path) const {
  const auto full = resolve(path);
  struct stat status {};
  if (::stat(full.c_str(), &status) == 0) return describe(last_part(full), status);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  fail_on_file("look at", full);
}

Ref<FolderReader> FileService::list(const std::string& folder) const {
  return make_ref<FolderReader>(resolve(folder));
}

Ref<OpenFile> FileService::open(const std::string& path, OpenMode mode) const {
  return make_ref<OpenFile>(resolve(path), mode);
}

Ref<SourceFile> FileService::copy_from(const std::string& path) const {
  return make_ref<SourceFile>(resolve(path));
}

Ref<PartialFile> FileService::copy_to(const std::string& path) const {
  return make_ref<PartialFile>(resolve(path));
}

void FileService::make_folder(const std::string& path, std::uint32_t mode) const {
  const fs::path full = resolve(path);
  fs::path made;
  for (const auto& part : full) {
    made /= part;
    struct stat status {};
    if (::mkdir(made.c_str(), (mode & 0777) | 0700) == 0 || errno == EEXIST) {
      if (::stat(made.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
        fail_on_file("make the folder", made, EEXIST);
    } else if (const int error = errno; ::stat(made.c_str(), &status) != 0) {
      fail_on_file("make the folder", made, error);  // else it is there, and may be read-only
    }
  }
}

void FileService::make_link(const std::string& path, const std::string& target) const {
  const fs::path full = resolve(path);
  // Beside it first, so that there is always one or the other.
  const fs::path part = full.parent_path() / PartialFile::name_for(full.filename());
  ::unlink(part.c_str());
  if (::symlink(target.c_str(), part.c_str()) != 0) fail_on_file("make the link", full);
  if (std::rename(part.c_str(), full.c_str()) != 0) {
    const int error = errno;
    ::unlink(part.c_str());
    fail_on_file("make the link", full, error);
  }
}

void FileService::rename(const std::string& from, const std::string& to) const {
  const auto source = resolve(from);
  const auto target = resolve(to);
  if (std::rename(source.c_str(), target.c_str()) != 0)
    fail_on_file("rename '" + source + "' to", target);
}

void FileService::remove(const std::string& path) const {
  const auto full = resolve(path);
  if (std::remove(full.c_str()) != 0) fail_on_file("remove", full);
}

std::map<std::string, std::string> Environment::variables() const {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=', 1);
    if (equals != text.npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

}  // namespace knee::detail
