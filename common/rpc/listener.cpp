#include "listener.h"

#include <kj/debug.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string_view>

#include "common/rpc/connection.h"
#include "common/rpc/rpc_loop.h"
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

/// What KJ says of a host that is not found lists its own variables.
std::string reason(const kj::Exception& error, const Address& address) {
  const std::string text = text_of(error);
  constexpr std::string_view kWhy = "gai_strerror(status) = ";
  const auto why = text.find(kWhy);
  if (why == text.npos) return text;
  return "cannot find the host '" + address.host + "': " + text.substr(why + kWhy.size());
}

/// A process that ends lets go of its socket in a moment: who is started after it waits so often.
constexpr unsigned kTries = 25;
constexpr auto kBetweenTries = 20 * kj::MILLISECONDS;

kj::Promise<kj::Own<Listener>> open_unix(Address address, kj::AsyncIoContext& io, unsigned tries) {
  try {
    SocketFile file(address.path);
    auto receiver = io.lowLevelProvider->wrapListenSocketFd(
        file.take_socket().release(), kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
    return kj::heap<Listener>(address, std::move(file), kj::mv(receiver), io);
  } catch (const SocketTaken&) {
    if (tries == 0) throw;
  }
  return io.provider->getTimer()
      .afterDelay(kBetweenTries)
      .then([address = kj::mv(address), &io, tries]() mutable {
        return open_unix(kj::mv(address), io, tries - 1);
      });
}

}  // namespace

kj::Promise<kj::Own<Listener>> Listener::open(Address address, kj::AsyncIoContext& io) {
  if (address.kind == Address::Kind::unix_socket)
    return kj::evalNow([&] { return open_unix(kj::mv(address), io, kTries); });
  return io.provider->getNetwork()
      .parseAddress(kj_address(address))
      .then(
          [address, &io](kj::Own<kj::NetworkAddress> parsed) mutable {
            kj::Own<kj::ConnectionReceiver> receiver;
            KJ_IF_MAYBE (error, kj::runCatchingExceptions([&] { receiver = parsed->listen(); })) {
              throw std::runtime_error("cannot listen on " + address.text() + ": " +
                                       text_of(*error));
            }
            address.port = static_cast<std::uint16_t>(receiver->getPort());
            return kj::heap<Listener>(address, std::nullopt, kj::mv(receiver), io);
          },
          [address](kj::Exception&& error) -> kj::Own<Listener> {
            throw std::runtime_error("cannot listen on " + address.text() + ": " +
                                     reason(error, address));
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
                       .catch_([address](kj::Exception&& error) -> kj::Own<kj::NetworkAddress> {
                         throw std::runtime_error(reason(error, address));
                       })
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
