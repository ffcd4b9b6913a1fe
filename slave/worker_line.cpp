#include "worker_line.h"

#include <sys/socket.h>

#include "common/base/check.h"
#include "common/rpc/byte_stream.h"

namespace knee::slave {
namespace {

std::pair<UniqueFd, UniqueFd> socket_pair() {
  int pair[2];
  check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "cannot make a socket pair");
  return {UniqueFd(pair[0]), UniqueFd(pair[1])};
}

}  // namespace

WorkerLine::WorkerLine(kj::UnixEventPort& port) : WorkerLine(port, socket_pair()) {}

WorkerLine::WorkerLine(kj::UnixEventPort& port, kj::Function<kj::Promise<void>()> reason)
    : WorkerLine(port) {
  stream_.end_with(kj::mv(reason));
}

WorkerLine::WorkerLine(kj::UnixEventPort& port, std::pair<UniqueFd, UniqueFd> sockets)
    : worker_socket_(std::move(sockets.first)),
      stream_(port, std::move(sockets.second)),
      network_(stream_, capnp::rpc::twoparty::Side::CLIENT),
      rpc_(capnp::makeRpcClient(network_)) {
  rpc::keep_freed_chunks();  // pieces of large values pass through
}

WorkerLine::~WorkerLine() = default;

capnp::Capability::Client WorkerLine::bootstrap() {
  capnp::MallocMessageBuilder message(4);
  auto worker = message.initRoot<capnp::rpc::twoparty::VatId>();
  worker.setSide(capnp::rpc::twoparty::Side::SERVER);
  return rpc_.bootstrap(worker);
}

}  // namespace knee::slave
