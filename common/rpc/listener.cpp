#include "listener.h"

#include <arpa/inet.h>
#include <kj/debug.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "common/base/unique_fd.h"
#include "common/rpc/connection.h"
#include "common/rpc/rpc_loop.h"
#include "common/rpc/socket_stream.h"

namespace knee::rpc {
namespace {

/// Before the next try to accept.
constexpr auto kBreath = 100 * kj::MILLISECONDS;

/// For the name of a host to listen on.
constexpr auto kLookupDeadline = 10 * kj::SECONDS;

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

/// Rejects with `words` if there is nothing at `end`; the promise is dropped then.
template <class T>
kj::Promise<T> before(kj::TimePoint end, kj::Timer& timer, kj::Promise<T> promise,
                      std::string words) {
  return promise.exclusiveJoin(timer.atTime(end).then(
      [words = std::move(words)]() -> T { throw std::runtime_error(words); }));
}

// --- names of hosts

bool is_number(const std::string& host) {
  in6_addr number{};
  return ::inet_pton(AF_INET, host.c_str(), &number) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &number) == 1;
}

/// A kernel may have none (ipv6.disable=1).
bool has_ipv6() {
  const UniqueFd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return socket || errno != EAFNOSUPPORT;
}

/// Runs a job that nobody can stop and nobody shall wait for. It may run into the end of the
/// program, so it must own what it uses.
template <class Job>
void run_detached(Job job) {
  // Signals belong to the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  KJ_DEFER(pthread_sigmask(SIG_SETMASK, &before, nullptr));
  std::thread(std::move(job)).detach();
}

/// The address itself, unless it has a host's name: then one for each number of the host.
kj::Promise<std::vector<Address>> resolve(Address address, kj::Timer& timer, kj::TimePoint end,
                                          Lookup lookup) {
  if (address.kind == Address::Kind::unix_socket || address.host.empty() || is_number(address.host))
    return std::vector<Address>{std::move(address)};
  const std::string failure = "cannot find the host '" + address.host + "': ";
  auto numbers = kj::evalNow([&]() -> kj::Promise<std::vector<std::string>> {
    try {
      return offload([](auto job) { run_detached(std::move(job)); },
                     [host = address.host, lookup = std::move(lookup)] { return lookup(host); });
    } catch (const std::system_error& error) {
      throw std::runtime_error(failure + "cannot start a thread to look it up: " + error.what());
    }
  });
  const std::string late = failure +
                           "its name was not looked up in time; check DNS on this machine, or give "
                           "the host's IP address";
  return before(end, timer, kj::mv(numbers), late)
      .then([address = std::move(address), failure](std::vector<std::string> found) mutable {
        if (found.empty()) throw std::runtime_error(failure + "it has no address");
        std::vector<Address> addresses;
        for (auto& number : found) {
          address.host = std::move(number);
          addresses.push_back(address);
        }
        return addresses;
      });
}

/// Without a name, which not every root can look up.
std::vector<Address> this_machine(Address address) {
  std::vector<Address> both(2, std::move(address));
  both[0].host = "::1";
  both[1].host = "127.0.0.1";  // the last one's error is told, and this one is everywhere
  return both;
}

/// To the first of them that can be reached; rejects with what became of the last.
kj::Promise<kj::Own<kj::AsyncIoStream>> connect_in_turn(std::vector<Address> addresses,
                                                        kj::AsyncIoContext& io) {
  auto connected = io.provider->getNetwork()
                       .parseAddress(kj_address(addresses.front()))
                       .then([](kj::Own<kj::NetworkAddress> parsed) {
                         return parsed->connect().attach(kj::mv(parsed));
                       });
  addresses.erase(addresses.begin());
  if (addresses.empty()) return connected;
  return connected.catch_([addresses = std::move(addresses), &io](kj::Exception&&) mutable {
    return connect_in_turn(std::move(addresses), io);
  });
}

// --- Unix sockets

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

std::vector<std::string> look_up(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  std::vector<std::string> numbers;
  for (const auto* one = list; error == 0 && one != nullptr; one = one->ai_next) {
    char number[NI_MAXHOST] = {};
    error = ::getnameinfo(one->ai_addr, one->ai_addrlen, number, sizeof number, nullptr, 0,
                          NI_NUMERICHOST);
    numbers.emplace_back(number);
  }
  if (error != 0)
    throw std::runtime_error("cannot find the host '" + host + "': " +
                             (error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error)));
  return numbers;
}

kj::Promise<kj::Own<Listener>> Listener::open(Address address, kj::AsyncIoContext& io,
                                              Lookup lookup) {
  if (address.kind == Address::Kind::unix_socket)
    return kj::evalNow([&] { return open_unix(kj::mv(address), io, kTries); });
  const std::string asked = address.text();
  // KJ takes an IPv6 socket for both.
  if (address.host.empty() && !has_ipv6()) address.host = "0.0.0.0";
  auto& timer = io.provider->getTimer();
  return resolve(std::move(address), timer, timer.now() + kLookupDeadline, std::move(lookup))
      .then([&io](std::vector<Address> found) {
        return io.provider->getNetwork()
            .parseAddress(kj_address(found.front()))
            .then([&io, address = found.front()](kj::Own<kj::NetworkAddress> parsed) mutable {
              auto receiver = parsed->listen();
              address.port = static_cast<std::uint16_t>(receiver->getPort());
              return kj::heap<Listener>(address, std::nullopt, kj::mv(receiver), io);
            });
      })
      .catch_([asked](kj::Exception&& error) -> kj::Own<Listener> {
        throw std::runtime_error("cannot listen on " + asked + ": " + text_of(error));
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
                                                kj::Duration deadline, Lookup lookup) {
  const bool local = address.kind == Address::Kind::unix_socket;
  auto& timer = io.provider->getTimer();
  const auto end = timer.now() + deadline;
  auto addresses = !local && address.host.empty()
                       ? kj::Promise<std::vector<Address>>(this_machine(address))
                       : resolve(std::move(address), timer, end, std::move(lookup));
  return addresses
      .then([&io, &timer, end](std::vector<Address> addresses) {
        return before(end, timer, connect_in_turn(std::move(addresses), io),
                      "the connection timed out");
      })
      .then([local, &io](kj::Own<kj::AsyncIoStream> stream) {
        // Where everybody may make files, so may somebody who waits for our program.
        KJ_REQUIRE(!local || same_user(*stream), "the socket is another user's");
        tune_socket(*stream);
        return kj::Own<kj::AsyncIoStream>(
            SocketStream::instead_of(kj::mv(stream), io.unixEventPort));
      });
}

}  // namespace knee::rpc
