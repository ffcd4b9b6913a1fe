#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/digest.h"
#include "slave/store/blob_store.h"

namespace knee::slave::test {

namespace fs = std::filesystem;

constexpr std::uint64_t kRoomy = std::uint64_t{1} << 30;
constexpr std::uint64_t kBlock = 4096;  // what the smallest blob is counted with

/// A folder of its own for each test, below $TMPDIR or /tmp; any user may enter it.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "knee-store-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    chmod(name.c_str(), 0755);
    path_ = name;
  }
  ~TempFolder() { remove_tree_of(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  static void remove_tree_of(const fs::path& path) {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }

  fs::path path_;
};

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline Digest digest_of_text(std::string_view text) {
  return digest_of(bytes_of(text));
}

inline BlobPin put(BlobStore& store, std::string_view text) {
  BlobWriter writer = store.begin(digest_of_text(text), text.size());
  writer.write(bytes_of(text));
  return writer.commit();
}

inline std::string content_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::size_t count_files(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::recursive_directory_iterator(folder), fs::recursive_directory_iterator()));
}

/// How many entries of the store in `folder` somebody has pinned.
inline std::size_t count_pins(const fs::path& folder) {
  std::size_t found = 0;
  for (const auto& run : fs::directory_iterator(folder / "run"))
    found += count_files(run.path() / "pins");
  return found;
}

inline bool lacks(BlobStore& store, const Digest& digest) {
  return store.lacking(std::span(&digest, 1)).size() == 1;
}

/// Changes a file as a malicious or clumsy hand would, and restores size, mtime and mode.
inline void damage(const fs::path& path, std::string_view text) {
  struct stat before;
  struct stat after;
  if (stat(path.c_str(), &before) != 0) throw std::runtime_error("no file " + path.string());
  do {  // until the kernel's clock has ticked, so that ctime tells
    chmod(path.c_str(), 0700);
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << text;
    const timespec times[2] = {before.st_atim, before.st_mtim};
    utimensat(AT_FDCWD, path.c_str(), times, 0);
    chmod(path.c_str(), before.st_mode & 07777);
    stat(path.c_str(), &after);
  } while (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
           after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}

/// The text of what `action` throws; empty if it throws nothing.
template <class Action>
std::string failure_of(Action action) {
  try {
    action();
  } catch (const std::exception& failure) {
    return failure.what();
  }
  return {};
}

/// Runs `action` in a forked process, which ends by _exit; `action` returns the exit code.
template <class Action>
pid_t start_child(Action action) {
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child > 0) return child;
  int code = 99;
  try {
    code = action();
  } catch (const std::exception& failure) {
    const std::string text = std::string("child: ") + failure.what() + '\n';
    if (write(2, text.data(), text.size()) < 0) code = 98;
  }
  _exit(code);
}

/// The exit code of a child, or minus the signal that ended it.
inline int wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Lets two processes wait for each other.
class Gate {
 public:
  Gate() {
    if (pipe(ends_) != 0) throw std::runtime_error("pipe");
  }
  ~Gate() {
    close(ends_[0]);
    close(ends_[1]);
  }
  void open() {
    if (write(ends_[1], "x", 1) != 1) throw std::runtime_error("write to a pipe");
  }
  void wait() {
    char c;
    if (read(ends_[0], &c, 1) != 1) throw std::runtime_error("read from a pipe");
  }

 private:
  int ends_[2];
};

}  // namespace knee::slave::test
