// Floor: what plain Cap'n Proto does between two processes, with the client on the KJ thread
// itself.
//   floor_capnp tcp|unix

#include <capnp/rpc-twoparty.h>
#include <capnp/rpc.h>
#include <kj/async-io.h>

#include "bench/floor.capnp.h"
#include "bench/harness.h"
#include "bench/sockets.h"

namespace {

using namespace knee::bench;

constexpr int kCalls = 10'000;
constexpr int kPipelined = 50'000;
constexpr int kInFlight = 1'000;
constexpr std::size_t kChunk = 512 * 1024;
constexpr std::size_t kStream = 1024 * 1024 * 1024;

class FloorServer final : public Floor::Server {
  kj::Promise<void> call(CallContext context) override {
    context.getResults().setValue(context.getParams().getValue());
    return kj::READY_NOW;
  }
  kj::Promise<void> write(WriteContext) override { return kj::READY_NOW; }
  kj::Promise<void> done(DoneContext) override { return kj::READY_NOW; }
};

kj::Own<kj::AsyncIoStream> wrap(kj::AsyncIoContext& io, int socket) {
  return io.lowLevelProvider->wrapSocketFd(socket, kj::LowLevelAsyncIoProvider::TAKE_OWNERSHIP);
}

void serve(int socket) {
  auto io = kj::setupAsyncIo();
  auto stream = wrap(io, socket);
  capnp::TwoPartyVatNetwork network(*stream, capnp::rpc::twoparty::Side::SERVER);
  auto system = capnp::makeRpcServer(network, kj::heap<FloorServer>());
  network.onDisconnect().wait(io.waitScope);
}

double call_us(Floor::Client& floor, kj::WaitScope& scope) {
  const auto once = [&](std::uint64_t value) {
    auto request = floor.callRequest();
    request.setValue(value);
    request.send().wait(scope);
  };
  for (int i = 0; i < kCalls / 10; ++i) once(1);
  return seconds_of([&] {
           for (int i = 0; i < kCalls; ++i) once(2);
         }) /
         kCalls * 1e6;
}

kj::Promise<void> lane(Floor::Client& floor, int& left) {
  if (left-- <= 0) return kj::READY_NOW;
  auto request = floor.callRequest();
  request.setValue(3);
  return request.send().then([&](auto&&) { return lane(floor, left); });
}

double pipelined_per_s(Floor::Client& floor, kj::WaitScope& scope) {
  int left = kPipelined;
  return kPipelined / seconds_of([&] {
           auto lanes = kj::heapArrayBuilder<kj::Promise<void>>(kInFlight);
           for (int i = 0; i < kInFlight; ++i) lanes.add(lane(floor, left));
           kj::joinPromises(lanes.finish()).wait(scope);
         });
}

kj::Promise<void> stream(Floor::Client& floor, const kj::Array<kj::byte>& chunk, std::size_t left) {
  if (left == 0) return floor.doneRequest().send().ignoreResult();
  auto request = floor.writeRequest(capnp::MessageSize{chunk.size() / 8 + 16, 0});
  request.setBytes(chunk);
  return request.send().then(
      [&floor, &chunk, left] { return stream(floor, chunk, left - chunk.size()); });
}

double stream_mb_per_s(Floor::Client& floor, kj::WaitScope& scope) {
  const auto chunk = kj::heapArray<kj::byte>(kChunk);
  const double seconds = seconds_of([&] { stream(floor, chunk, kStream).wait(scope); });
  return static_cast<double>(kStream) / seconds / 1e6;
}

void measure(int socket) {
  auto io = kj::setupAsyncIo();
  auto connection = wrap(io, socket);
  capnp::TwoPartyVatNetwork network(*connection, capnp::rpc::twoparty::Side::CLIENT);
  auto system = capnp::makeRpcClient(network);
  capnp::MallocMessageBuilder message;
  auto vat = message.initRoot<capnp::rpc::twoparty::VatId>();
  vat.setSide(capnp::rpc::twoparty::Side::SERVER);
  auto floor = system.bootstrap(vat).castAs<Floor>();
  Report report;
  report.add("call_us", call_us(floor, io.waitScope));
  report.add("pipelined_per_s", pipelined_per_s(floor, io.waitScope));
  report.add("stream_mb_per_s", stream_mb_per_s(floor, io.waitScope));
  report.print();
}

}  // namespace

int main(int argc, char** argv) {
  with_two_processes(argument(argc, argv, 1, "tcp") == "tcp", serve, measure);
}
