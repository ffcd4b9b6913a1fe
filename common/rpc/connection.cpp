#include "connection.h"

#include <kj/debug.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "common/rpc/socket_stream.h"

#ifndef KNEE_VERSION
#error "KNEE_VERSION is given by CMake"
#endif

namespace knee::rpc {
namespace {

constexpr std::array<kj::byte, 8> kPreface = {'K', 'N', 'E', 'E', 0, 0, 0, 1};
/// Of one message: batches and chunks are about 1 MiB, so this is slack, not a plan.
constexpr std::uint64_t kMessageWords = std::uint64_t{4} * 1024 * 1024;

capnp::ReaderOptions reader_options() {
  capnp::ReaderOptions options;
  options.traversalLimitInWords = kMessageWords;
  return options;
}

std::string printable(kj::ArrayPtr<const kj::byte> bytes) {
  std::string text;
  for (const kj::byte b : bytes) text += b >= 0x20 && b < 0x7f ? static_cast<char>(b) : '.';
  return text;
}

capnp::rpc::twoparty::Side network_side(Connection::Side side) {
  return side == Connection::Side::dialed ? capnp::rpc::twoparty::Side::CLIENT
                                          : capnp::rpc::twoparty::Side::SERVER;
}

}  // namespace

kj::Promise<kj::Own<Connection>> Connection::open(kj::Own<kj::AsyncIoStream> stream, Side side,
                                                  proto::Door::Client our_door, kj::Timer& timer) {
  auto answer = kj::heapArray<kj::byte>(kPreface.size());
  auto& io = *stream;
  auto* buffer = answer.begin();
  auto silence = timer.afterDelay(kGreetingDeadline).then([]() -> size_t {
    KJ_FAIL_REQUIRE("the other side said nothing for 10 s");
  });
  // In evalNow: a write to a connection that is closed already throws at once.
  return kj::evalNow([&io] { return io.write(kPreface.data(), kPreface.size()); })
      .then([&io, buffer] { return io.tryRead(buffer, kPreface.size(), kPreface.size()); })
      .exclusiveJoin(kj::mv(silence))
      .then([side, our_door = kj::mv(our_door), stream = kj::mv(stream),
             answer = kj::mv(answer)](size_t size) mutable {
        if (size == 0)
          kj::throwFatalException(
              KJ_EXCEPTION(DISCONNECTED, "the other side closed the connection without a word"));
        if (size != kPreface.size() ||
            !std::equal(kPreface.begin(), kPreface.end(), answer.begin()))
          throw std::runtime_error("the other side does not speak Knee; it began with '" +
                                   printable(answer.slice(0, size)) + "'");
        return kj::heap<Connection>(kj::mv(stream), side, kj::mv(our_door));
      });
}

Connection::Connection(kj::Own<kj::AsyncIoStream> stream, Side side, proto::Door::Client our_door)
    : stream_(kj::mv(stream)),
      side_(side),
      network_(*stream_, network_side(side), reader_options()),
      rpc_(capnp::makeRpcServer(network_, kj::mv(our_door))) {}

proto::Door::Client Connection::door() {
  capnp::MallocMessageBuilder message(4);
  auto peer = message.initRoot<capnp::rpc::twoparty::VatId>();
  peer.setSide(side_ == Side::dialed ? capnp::rpc::twoparty::Side::SERVER
                                     : capnp::rpc::twoparty::Side::CLIENT);
  return rpc_.bootstrap(peer).castAs<proto::Door>();
}

kj::Promise<void> Connection::until_end(std::shared_ptr<const bool> greeted, kj::Timer& timer) {
  auto ended = on_disconnect().then([this, greeted] {
    if (!*greeted) refuse_gibberish();
  });
  return ended.exclusiveJoin(
      timer.afterDelay(kGreetingDeadline).then([greeted]() -> kj::Promise<void> {
        KJ_REQUIRE(*greeted, "the other side said no hello for 10 s");
        return kj::NEVER_DONE;
      }));
}

void Connection::refuse_gibberish() {
  const auto* socket = dynamic_cast<const SocketStream*>(stream_.get());
  if (socket == nullptr || socket->received() <= kPreface.size()) return;
  throw std::runtime_error(
      "the other side does not speak Knee, or ended in the middle of its first words: no hello was "
      "in the " +
      std::to_string(socket->received() - kPreface.size()) + " bytes after the preface");
}

bool Connection::has_unsent() {
  if (network_.getCurrentQueueSize() != 0) return true;
  const auto* socket = dynamic_cast<const SocketStream*>(stream_.get());
  return socket != nullptr && socket->has_unsent();
}

void describe_build(proto::Hello::Builder hello) {
  utsname names{};
  ::uname(&names);
  hello.setProtocol(proto::PROTOCOL_VERSION);
  hello.setVersion(KNEE_VERSION);
  hello.setArchitecture(names.machine);
}

std::string refusal_of(proto::Hello::Reader theirs) {
  if (theirs.getProtocol() == proto::PROTOCOL_VERSION) return {};
  return "protocol " + std::to_string(theirs.getProtocol()) + " (Knee " +
         theirs.getVersion().cStr() + ") cannot talk to protocol " +
         std::to_string(proto::PROTOCOL_VERSION) +
         " (Knee " KNEE_VERSION "): use the same Knee version on both sides";
}

void tune_socket(kj::AsyncIoStream& stream) {
  int domain = AF_UNSPEC;
  kj::uint size = sizeof domain;
  stream.getsockopt(SOL_SOCKET, SO_DOMAIN, &domain, &size);
  // Others have none of these, and to fail costs milliseconds: kj's exceptions trace the stack.
  if (domain != AF_INET && domain != AF_INET6) return;
  const auto set = [&stream](int level, int option, int value) {
    stream.setsockopt(level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 6);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 2);
  set(IPPROTO_TCP, TCP_KEEPCNT, 7);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 20'000);
}

}  // namespace knee::rpc
