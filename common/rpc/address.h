#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace knee::rpc {

inline constexpr std::uint16_t kDefaultPort = 18812;

/// Where a slave or driver listens: a Unix socket, or host and TCP port. A plain value.
struct Address {
  enum class Kind { unix_socket, tcp };
  Kind kind = Kind::tcp;
  std::string path;  ///< of the Unix socket
  std::string host;  ///< name or number; empty: any (to listen)
  std::uint16_t port = kDefaultPort;

  /// "unix:PATH", "HOST", "HOST:PORT", "[V6]:PORT", ":PORT". Throws std::invalid_argument that says
  /// what is wrong with it.
  static Address parse(std::string_view text);

  /// As `parse` takes it.
  std::string text() const;

  friend bool operator==(const Address&, const Address&) = default;
};

/// $XDG_RUNTIME_DIR/knee/slave.sock, or /tmp/knee-UID/slave.sock without that variable.
std::string default_socket_path();

}  // namespace knee::rpc
