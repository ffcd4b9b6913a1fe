#include "listener.h"

#include <kj/debug.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/rpc/connection.h"
#include "common/rpc/socket_stream.h"

namespace knee::rpc {
namespace {

/// Before the next try to accept.
constexpr auto kBreath = 100 * kj::MILLISECONDS;

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
      SocketFile file(address.path);
      auto receiver = io.lowLevelProvider->wrapListenSocketFd(
          file.take_socket().release(), kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
      return kj::heap<Listener>(address, std::move(file), kj::mv(receiver), io);
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
        return kj::heap<Listener>(address, std::nullopt, kj::mv(receiver), io);
      });
}

Listener::Listener(Address address, std::optional<SocketFile> file,
                   kj::Own<kj::ConnectionReceiver> receiver, kj::AsyncIoContext& io)
    : address_(std::move(address)), file_(std::move(file)), receiver_(kj::mv(receiver)), io_(io) {}

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
