#include "low_level_io.h"

#include <fcntl.h>
#include <kj/debug.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "common/rpc/socket_stream.h"

namespace knee::rpc {
namespace {

using Provider = kj::LowLevelAsyncIoProvider;

/// What KJ hands over, or lends: then a duplicate.
UniqueFd owned(int fd, kj::uint flags) {
  if ((flags & Provider::TAKE_OWNERSHIP) == 0)
    return UniqueFd(check(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "cannot duplicate a descriptor"));
  if ((flags & Provider::ALREADY_CLOEXEC) == 0)
    check(::fcntl(fd, F_SETFD, FD_CLOEXEC), "cannot mark a descriptor");
  return UniqueFd(fd);
}

kj::Own<SocketStream> stream_over(kj::UnixEventPort& port, int fd, kj::uint flags) {
  return kj::heap<SocketStream>(port, owned(fd, flags));
}

/// The peer went away between its call and ours: not the listener's trouble (accept(2), "Error
/// handling").
bool is_of_the_connection(int error) {
  switch (error) {
    case EINTR:
    case ENETDOWN:
    case EPROTO:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ECONNABORTED:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

class Receiver final : public kj::ConnectionReceiver {
 public:
  Receiver(kj::UnixEventPort& port, UniqueFd socket, Provider::NetworkFilter& filter)
      : port_(port),
        socket_(std::move(socket)),
        filter_(filter),
        observer_(port, socket_.get(), kj::UnixEventPort::FdObserver::OBSERVE_READ) {
    const int flags = check(::fcntl(socket_.get(), F_GETFL), "cannot look at a socket");
    check(::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK), "cannot make a socket non-blocking");
  }

  kj::Promise<kj::Own<kj::AsyncIoStream>> accept() override {
    for (;;) {
      sockaddr_storage peer{};
      auto* address = reinterpret_cast<sockaddr*>(&peer);
      socklen_t size = sizeof peer;
      UniqueFd connection(::accept4(socket_.get(), address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (connection) {
        if (!filter_.shouldAllow(address, size)) continue;
        return kj::Own<kj::AsyncIoStream>(kj::heap<SocketStream>(port_, std::move(connection)));
      }
      if (errno == EAGAIN) return observer_.whenBecomesReadable().then([this] { return accept(); });
      if (!is_of_the_connection(errno)) KJ_FAIL_SYSCALL("accept a connection", errno);
    }
  }

  kj::uint getPort() override {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    check(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&own), &size), "getsockname");
    if (own.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in&>(own).sin_port);
    if (own.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6&>(own).sin6_port);
    return 0;
  }

 private:
  kj::UnixEventPort& port_;
  UniqueFd socket_;
  Provider::NetworkFilter& filter_;
  kj::UnixEventPort::FdObserver observer_;
};

}  // namespace

kj::Own<kj::AsyncInputStream> LowLevelIo::wrapInputFd(int fd, kj::uint flags) {
  return stream_over(port_, fd, flags);
}

kj::Own<kj::AsyncOutputStream> LowLevelIo::wrapOutputFd(int, kj::uint) {
  KJ_UNIMPLEMENTED("writing to what is no socket");
}

kj::Own<kj::AsyncIoStream> LowLevelIo::wrapSocketFd(int fd, kj::uint flags) {
  return stream_over(port_, fd, flags);
}

kj::Promise<kj::Own<kj::AsyncIoStream>> LowLevelIo::wrapConnectingSocketFd(int fd,
                                                                           const sockaddr* address,
                                                                           kj::uint size,
                                                                           kj::uint flags) {
  auto socket = kj::heap<UniqueFd>(owned(fd, flags));
  const int now = check(::fcntl(socket->get(), F_GETFL), "cannot look at a socket");
  check(::fcntl(socket->get(), F_SETFL, now | O_NONBLOCK), "cannot make a socket non-blocking");
  // Interrupted, it goes on connecting (connect(2), EINTR).
  if (::connect(socket->get(), address, size) != 0 && errno != EINPROGRESS && errno != EINTR)
    KJ_FAIL_SYSCALL("connect", errno);
  auto observer = kj::heap<kj::UnixEventPort::FdObserver>(
      port_, socket->get(), kj::UnixEventPort::FdObserver::OBSERVE_WRITE);
  auto settled = observer->whenBecomesWritable();
  return settled.attach(kj::mv(observer))
      .then([this, socket = kj::mv(socket)]() mutable -> kj::Own<kj::AsyncIoStream> {
        int error = 0;
        socklen_t length = sizeof error;
        check(::getsockopt(socket->get(), SOL_SOCKET, SO_ERROR, &error, &length), "getsockopt");
        if (error != 0) KJ_FAIL_SYSCALL("connect", error);
        return kj::heap<SocketStream>(port_, std::move(*socket));
      });
}

kj::Own<kj::ConnectionReceiver> LowLevelIo::wrapListenSocketFd(int fd, NetworkFilter& filter,
                                                               kj::uint flags) {
  return kj::heap<Receiver>(port_, owned(fd, flags), filter);
}

}  // namespace knee::rpc
