#include "block.h"

#include <kj/debug.h>
#include <knee/detail/bytes.h>

#include <algorithm>
#include <cstring>

#include "common/rpc/byte_stream.h"

namespace knee::detail {
namespace {

/// So many bytes are asked for at once, so many times. More in flight would only lie in buffers.
constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr unsigned kInFlight = 4;
constexpr std::size_t kMostRead = std::size_t{4} << 20;

class BlockServer final : public proto::Block::Server {
 public:
  explicit BlockServer(Content content) : content_(std::move(content)) {}
  kj::Promise<void> read(ReadContext context) override {
    const auto offset = std::min<std::uint64_t>(context.getParams().getOffset(), content_.size);
    const auto size = std::min({static_cast<std::uint64_t>(context.getParams().getSize()),
                                static_cast<std::uint64_t>(kMostRead), content_.size - offset});
    auto results = context.getResults(capnp::MessageSize{size / sizeof(capnp::word) + 8, 0});
    results.setBytes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(content_.data + offset), size));
    return kj::READY_NOW;
  }

 private:
  Content content_;
};

/// One block on its way here.
struct Fetch {
  proto::Block::Client block;
  std::shared_ptr<Bytes> bytes;
  std::size_t size;
  std::size_t asked = 0;
};

kj::Promise<void> fetch_pieces(const std::shared_ptr<Fetch>& fetch) {
  if (fetch->asked == fetch->size) return kj::READY_NOW;
  const auto offset = fetch->asked;
  const auto size = std::min(kPiece, fetch->size - offset);
  fetch->asked += size;
  auto request = fetch->block.readRequest();
  request.setOffset(offset);
  request.setSize(static_cast<std::uint32_t>(size));
  return request.send().then(
      [fetch, offset, size](capnp::Response<proto::Block::ReadResults> answer) {
        const auto bytes = answer.getBytes();
        KJ_REQUIRE(bytes.size() == size, "bytes of a large value are missing");
        std::memcpy(fetch->bytes->data() + offset, bytes.begin(), size);
        return fetch_pieces(fetch);
      });
}

/// One after the other: their pieces share one connection.
kj::Promise<void> fetch_rest(capnp::List<proto::Large>::Reader blocks, const Contents& contents,
                             unsigned place) {
  if (place == blocks.size()) return kj::READY_NOW;
  return fetch_block(blocks[place]).then([blocks, contents, place](std::shared_ptr<Bytes> bytes) {
    const auto* data = bytes->data();
    const auto size = bytes->size();
    (*contents)[place] = Content{std::move(bytes), data, size};
    return fetch_rest(blocks, contents, place + 1);
  });
}

}  // namespace

kj::Promise<std::shared_ptr<Bytes>> fetch_block(proto::Large::Reader block) {
  rpc::keep_freed_chunks();
  const std::size_t size = block.getSize();
  auto fetch = std::make_shared<Fetch>(Fetch{block.getBlock(), std::make_shared<Bytes>(), size});
  fetch->bytes->extend(size);
  kj::Vector<kj::Promise<void>> lanes;
  for (unsigned i = 0; i < kInFlight && fetch->asked < size; ++i) lanes.add(fetch_pieces(fetch));
  return kj::joinPromises(lanes.releaseAsArray()).then([fetch] { return fetch->bytes; });
}

void offer_block(proto::Large::Builder to, const Content& content) {
  rpc::keep_freed_chunks();
  to.setSize(content.size);
  to.setBlock(kj::heap<BlockServer>(content));
}

void offer_blocks(capnp::List<proto::Large>::Builder to, const std::vector<Content>& blocks) {
  for (unsigned i = 0; i < to.size(); ++i) offer_block(to[i], blocks[i]);
}

kj::Promise<Contents> fetch_blocks(capnp::List<proto::Large>::Reader blocks) {
  auto contents = std::make_shared<std::vector<Content>>(blocks.size());
  return fetch_rest(blocks, contents, 0).then([contents] { return contents; });
}

}  // namespace knee::detail
