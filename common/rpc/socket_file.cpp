#include "socket_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>

#include "common/base/check.h"

namespace knee::rpc {
namespace {

namespace fs = std::filesystem;

std::string attempt(const std::string& path) {
  return "cannot listen on unix:" + path;
}

[[noreturn]] void throw_taken(const std::string& path) {
  throw SocketTaken(attempt(path) +
                    ": another process does; end it first, or choose another address");
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw std::runtime_error("the socket's path is too long (107 bytes at most): " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

void make_private_folder(const fs::path& folder) {
  if (folder.empty() || fs::exists(folder)) return;
  make_private_folder(folder.parent_path());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    throw_errno("cannot make the folder '" + folder.string() + "'");
}

std::string octal(mode_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", mode);
  return text;
}

/// Whoever may rename files in a socket's folder can put a socket of his own in its place. In a
/// folder with the sticky bit, such as /tmp, he cannot: only a file's owner removes or renames it.
/// That somebody is there first, or after us, is seen by both sides (see Listener and connect).
void require_safe_folder(const std::string& path, const fs::path& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0)
    throw_errno(attempt(path) + ": cannot look at its folder '" + folder.string() + "'");
  if (!S_ISDIR(status.st_mode)) return;  // whoever uses it says so
  const std::string advice = "; choose an address in a folder that only you may write to";
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    throw std::runtime_error(attempt(path) + ": its folder '" + folder.string() +
                             "' belongs to another user (number " + std::to_string(status.st_uid) +
                             "), who could take the socket's place" + advice);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (status.st_mode & S_ISVTX) == 0)
    throw std::runtime_error(attempt(path) + ": other users may write to its folder '" +
                             folder.string() + "' (mode " + octal(status.st_mode & 07777) +
                             ") and could take the socket's place; run `chmod go-w " +
                             folder.string() + "`, or" + advice.substr(1));
}

/// The locked file, which is removed with the lock held: it may have been another one by the time
/// the lock was had.
UniqueFd lock_for(const std::string& path) {
  const std::string name = path + ".lock";
  for (;;) {
    UniqueFd file(::open(name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) throw_errno(attempt(path) + ": cannot make its lock '" + name + "'");
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) throw_taken(path);
      throw_errno(attempt(path) + ": cannot lock '" + name + "'");
    }
    struct stat locked {};
    struct stat named {};
    check(::fstat(file.get(), &locked), "cannot look at a lock");
    if (::stat(name.c_str(), &named) == 0 && named.st_dev == locked.st_dev &&
        named.st_ino == locked.st_ino)
      return file;
  }
}

}  // namespace

SocketFile::SocketFile(const std::string& path) : path_(path) {
  unix_address(path);  // before any folder is made
  const auto parent = fs::path(path).parent_path();
  make_private_folder(parent);
  require_safe_folder(path, parent.empty() ? "." : parent);
  lock_ = lock_for(path);
  try {
    remove_dead();
    bind_and_listen();
  } catch (...) {
    ::unlink((path_ + ".lock").c_str());
    throw;
  }
}

SocketFile::~SocketFile() {
  if (!lock_) return;
  struct stat there {};
  if (::lstat(path_.c_str(), &there) == 0 && there.st_dev == device_ && there.st_ino == number_)
    ::unlink(path_.c_str());
  ::unlink((path_ + ".lock").c_str());
}

/// Removes a socket on which nobody listens. (Not everybody who listens has a lock.)
void SocketFile::remove_dead() {
  struct stat there {};
  if (::lstat(path_.c_str(), &there) != 0 || !S_ISSOCK(there.st_mode)) return;
  // Without O_NONBLOCK it waits for one whose queue is full.
  const UniqueFd probe(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                             "cannot make a socket"));
  const auto address = unix_address(path_);
  const auto* plain = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(probe.get(), plain, sizeof address) == 0 || errno == EAGAIN) throw_taken(path_);
  if (errno != ECONNREFUSED && errno != ENOENT)
    throw_errno(attempt(path_) + ": cannot tell whether another process does");
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT)
    throw_errno(attempt(path_) + ": cannot remove the socket that was left there");
}

void SocketFile::bind_and_listen() {
  const auto address = unix_address(path_);
  socket_.reset(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                      "cannot make a socket"));
  // The mode of the socket file follows from the mode of the socket at bind.
  ::fchmod(socket_.get(), 0600);
  if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno(attempt(path_));
  check(::chmod(path_.c_str(), 0600), "cannot make the socket private");
  struct stat there {};
  check(::lstat(path_.c_str(), &there), "cannot look at the socket");
  device_ = there.st_dev;
  number_ = there.st_ino;
  check(::listen(socket_.get(), 128), "cannot listen");
}

}  // namespace knee::rpc
