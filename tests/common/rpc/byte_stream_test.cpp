#include "common/rpc/byte_stream.h"

#include <kj/async-io.h>
#include <catch2/catch.hpp>

#include <vector>

using namespace knee;

namespace {

/// Takes everything, and answers `done` when it is told to.
class PatientSink final : public proto::ByteSink::Server {
 public:
  explicit PatientSink(kj::Promise<void> end) : end_(kj::mv(end)) {}
  kj::Promise<void> write(WriteContext) override { return kj::READY_NOW; }
  kj::Promise<void> done(DoneContext) override { return kj::mv(end_); }

 private:
  kj::Promise<void> end_;
};

}  // namespace

TEST_CASE("each answered write of a stream is heard of, before the last of them") {
  auto io = kj::setupAsyncIo();
  const std::vector<std::byte> bytes(2 * rpc::kChunk + 1);
  const bool by_pieces = GENERATE(false, true);
  auto end = kj::newPromiseAndFulfiller<void>();
  int heard = 0;
  const auto count = [&heard] { ++heard; };
  proto::ByteSink::Client sink = kj::heap<PatientSink>(kj::mv(end.promise));
  auto sent = by_pieces ? rpc::send_pieces(
                              sink, bytes.size(),
                              [](std::uint64_t, std::size_t most) -> kj::Promise<rpc::Piece> {
                                return std::make_shared<const std::vector<kj::byte>>(most);
                              },
                              count)
                        : rpc::send_bytes(sink, bytes, count);
  CHECK_FALSE(sent.poll(io.waitScope));
  CHECK(heard == 3);
  end.fulfiller->fulfill();
  sent.wait(io.waitScope);
  CHECK(heard == 3);
}
