#pragma once
#include <sys/types.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "common/base/unique_fd.h"

namespace knee::rpc {

/// A living process listens there.
struct SocketTaken : std::runtime_error {
  using runtime_error::runtime_error;
};

/// The right to listen on a Unix socket's path, with the socket. One process at a time has it: who
/// has it holds a lock on a file beside the socket, PATH.lock. May block shortly; any one thread.
/// Destruction removes both files.
class SocketFile {
 public:
  /// Binds the path and listens, with mode 0600. Makes the folders that are not there, with mode
  /// 0700, and takes the path over from a process that has died. Throws SocketTaken if a
  /// living process listens there, std::runtime_error or std::system_error if the path leads to
  /// something else or other users could take the socket's place; all in words that name the path.
  explicit SocketFile(const std::string& path);
  ~SocketFile();
  SocketFile(SocketFile&& other) noexcept = default;
  SocketFile& operator=(SocketFile&&) = delete;

  /// The listening socket; to be called once.
  UniqueFd take_socket() { return std::move(socket_); }

 private:
  void remove_dead();
  void bind_and_listen();

  std::string path_;
  UniqueFd lock_;  ///< none: moved from
  UniqueFd socket_;
  dev_t device_ = 0;  ///< which file it is, should somebody else put another one there
  ino_t number_ = 0;
};

}  // namespace knee::rpc
