#include "listener.h"

#include <kj/debug.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "common/rpc/connection.h"
#include "common/rpc/socket_stream.h"

namespace knee::rpc {
namespace {

/// Before the next try to accept.
constexpr auto kBreath = 100 * kj::MILLISECONDS;

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw std::runtime_error("the socket's path is too long (107 bytes at most): " + path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool somebody_listens(const sockaddr_un& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

void make_private_folder(const std::filesystem::path& folder) {
  if (folder.empty() || std::filesystem::exists(folder)) return;
  make_private_folder(folder.parent_path());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    throw_errno("cannot make the folder '" + folder.string() + "'");
}

UniqueFd listen_on_unix(const std::string& path) {
  const auto address = unix_address(path);
  make_private_folder(std::filesystem::path(path).parent_path());
  if (somebody_listens(address))
    throw std::runtime_error("cannot listen on unix:" + path + ": another process does");
  if (std::filesystem::is_socket(path)) ::unlink(path.c_str());
  UniqueFd socket(check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                        "cannot make a socket"));
  // The mode of the socket file follows from the mode of the socket at bind.
  ::fchmod(socket.get(), 0600);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("cannot listen on unix:" + path);
  check(::chmod(path.c_str(), 0600), "cannot make the socket private");
  check(::listen(socket.get(), 128), "cannot listen");
  return socket;
}

bool same_user(kj::AsyncIoStream& stream) {
  ucred peer{};
  unsigned size = sizeof peer;
  stream.getsockopt(SOL_SOCKET, SO_PEERCRED, &peer, &size);
  return peer.uid == ::getuid() || peer.uid == 0;
}

std::string kj_address(const Address& address) {
  if (address.kind == Address::Kind::unix_socket) return "unix:" + address.path;
  if (address.host.empty()) return "*:" + std::to_string(address.port);
  return address.text();
}

}  // namespace

kj::Promise<kj::Own<Listener>> Listener::open(Address address, kj::AsyncIoContext& io) {
  if (address.kind == Address::Kind::unix_socket) {
    return kj::evalNow([&]() -> kj::Own<Listener> {
      auto receiver = io.lowLevelProvider->wrapListenSocketFd(
          listen_on_unix(address.path).release(), kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
      return kj::heap<Listener>(address, kj::mv(receiver), io);
    });
  }
  return io.provider->getNetwork()
      .parseAddress(kj_address(address))
      .then([address, &io](kj::Own<kj::NetworkAddress> parsed) mutable {
        kj::Own<kj::ConnectionReceiver> receiver;
        KJ_IF_MAYBE (error, kj::runCatchingExceptions([&] { receiver = parsed->listen(); })) {
          KJ_FAIL_REQUIRE("cannot listen", address.text().c_str(), error->getDescription());
        }
        address.port = static_cast<std::uint16_t>(receiver->getPort());
        return kj::heap<Listener>(address, kj::mv(receiver), io);
      });
}

Listener::Listener(Address address, kj::Own<kj::ConnectionReceiver> receiver,
                   kj::AsyncIoContext& io)
    : address_(std::move(address)), receiver_(kj::mv(receiver)), io_(io) {}

Listener::~Listener() {
  if (address_.kind == Address::Kind::unix_socket) ::unlink(address_.path.c_str());
}

kj::Promise<kj::Own<kj::AsyncIoStream>> Listener::accept() {
  return kj::evalNow([this] { return receiver_->accept(); })
      .then([this](kj::Own<kj::AsyncIoStream> stream) { return let_in(kj::mv(stream)); })
      .catch_([this](kj::Exception&&) {
        // One that came and went, or too many open files: that passes, and those who are here must
        // not suffer.
        return io_.provider->getTimer().afterDelay(kBreath).then([this] { return accept(); });
      });
}

kj::Promise<kj::Own<kj::AsyncIoStream>> Listener::let_in(kj::Own<kj::AsyncIoStream> stream) {
  if (address_.kind == Address::Kind::unix_socket && !same_user(*stream)) return accept();
  tune_socket(*stream);
  return kj::Own<kj::AsyncIoStream>(SocketStream::instead_of(kj::mv(stream), io_.unixEventPort));
}

kj::Promise<kj::Own<kj::AsyncIoStream>> connect(Address address, kj::AsyncIoContext& io,
                                                kj::Duration deadline) {
  auto& timer = io.provider->getTimer();
  const bool local = address.kind == Address::Kind::unix_socket;
  auto connected = io.provider->getNetwork()
                       .parseAddress(kj_address(address), kDefaultPort)
                       .then([](kj::Own<kj::NetworkAddress> parsed) {
                         return parsed->connect().attach(kj::mv(parsed));
                       })
                       .then([local, &io](kj::Own<kj::AsyncIoStream> stream) {
                         // Where everybody may make files, so may somebody who waits for our
                         // program.
                         KJ_REQUIRE(!local || same_user(*stream), "the socket is another user's");
                         tune_socket(*stream);
                         return kj::Own<kj::AsyncIoStream>(
                             SocketStream::instead_of(kj::mv(stream), io.unixEventPort));
                       });
  return timer.timeoutAfter(deadline, kj::mv(connected));
}

}  // namespace knee::rpc
