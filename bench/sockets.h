#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

/// A connected pair of processes for the floors: the plainest sockets there are.
namespace knee::bench {

inline int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

/// Runs `server(socket)` in a child process and `client(socket)` here, over loopback TCP or a Unix
/// socket, and waits for the child, which ends when the client's socket is closed.
template <class Server, class Client>
void with_two_processes(bool tcp, Server server, Client client) {
  const int listener = checked(::socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0), "socket");
  sockaddr_storage where{};
  socklen_t length = sizeof(sockaddr_in);
  if (tcp) {
    auto& address = reinterpret_cast<sockaddr_in&>(where);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    where.ss_family = AF_UNIX;
    length = sizeof(sa_family_t);  // the kernel chooses an abstract name
  }
  checked(::bind(listener, reinterpret_cast<sockaddr*>(&where), length), "bind");
  checked(::listen(listener, 1), "listen");
  length = sizeof where;
  checked(::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &length), "getsockname");

  const auto no_delay = [tcp](int socket) {
    const int on = 1;
    if (tcp) checked(::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "TCP_NODELAY");
    return socket;
  };
  const pid_t child = checked(::fork(), "fork");
  if (child == 0) {
    server(no_delay(checked(::accept(listener, nullptr, nullptr), "accept")));
    ::_exit(0);
  }
  const int socket = checked(::socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM, 0), "socket");
  checked(::connect(socket, reinterpret_cast<sockaddr*>(&where), length), "connect");
  ::close(listener);
  client(no_delay(socket));
  checked(::waitpid(child, nullptr, 0), "waitpid");
}

}  // namespace knee::bench
