#pragma once
#include <sys/stat.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/check.h"

/// How a process knows that it is a worker: KNEE_WORKER="FD:INODE" in its environment names an
/// inherited socket. The inode tells the real mark from one that a worker's child inherited.
namespace knee::channel {

inline constexpr const char* kWorkerMark = "KNEE_WORKER";
/// Under which number a worker gets the socket.
inline constexpr int kWorkerSocket = 3;

inline std::string worker_mark(int socket) {
  struct stat status {};
  check(::fstat(socket, &status), "cannot look at a worker's socket");
  return std::to_string(kWorkerSocket) + ":" + std::to_string(status.st_ino);
}

/// The socket's number if `mark` is true of this process.
inline std::optional<int> check_worker_mark(std::string_view mark) {
  const auto colon = mark.find(':');
  if (colon == mark.npos) return std::nullopt;
  int fd = -1;
  ino_t inode = 0;
  const char* end = mark.data() + mark.size();
  if (std::from_chars(mark.data(), mark.data() + colon, fd).ec != std::errc()) return std::nullopt;
  if (std::from_chars(mark.data() + colon + 1, end, inode).ec != std::errc()) return std::nullopt;
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode) || status.st_ino != inode)
    return std::nullopt;
  return fd;
}

}  // namespace knee::channel
