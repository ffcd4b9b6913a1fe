#include "block.h"

#include <kj/debug.h>
#include <knee/detail/bytes.h>

#include <algorithm>
#include <complex>
#include <cstring>
#include <span>

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

/// Where the bytes of a block come to lie.
class Landing {
 public:
  Landing() = default;
  Landing(const Landing&) = delete;
  virtual ~Landing() = default;
  virtual void put(std::size_t offset, std::span<const std::byte> piece) = 0;
};

class BytesLanding final : public Landing {
 public:
  explicit BytesLanding(std::size_t size) { bytes->extend(size); }
  void put(std::size_t offset, std::span<const std::byte> piece) override {
    std::memcpy(bytes->data() + offset, piece.data(), piece.size());
  }

  const std::shared_ptr<Bytes> bytes = std::make_shared<Bytes>();
};

/// The pages of a new vector cost as much as a copy: they are touched once, as the pieces come.
template <class T>
class VectorLanding final : public Landing {
 public:
  explicit VectorLanding(std::size_t size) {
    numbers.reserve(size / sizeof(T));
    LargeBlock::prefer_large_pages(numbers.data(), size);
  }
  void put(std::size_t offset, std::span<const std::byte> piece) override {
    const std::size_t end = (offset + piece.size()) / sizeof(T);
    if (offset == numbers.size() * sizeof(T)) {
      // Cap'n Proto aligns what it reads to words.
      const auto* const from = reinterpret_cast<const T*>(piece.data());
      LargeBlock::fault_in(numbers.data() + numbers.size(), piece.size());
      numbers.insert(numbers.end(), from, from + piece.size() / sizeof(T));
      return;
    }
    if (numbers.size() < end) numbers.resize(end);
    std::memcpy(reinterpret_cast<std::byte*>(numbers.data()) + offset, piece.data(), piece.size());
  }

  std::vector<T> numbers;
};

/// One block on its way here.
struct Fetch {
  proto::Block::Client block;
  std::shared_ptr<Landing> landing;
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
        fetch->landing->put(offset, std::as_bytes(std::span(bytes.begin(), bytes.size())));
        return fetch_pieces(fetch);
      });
}

kj::Promise<void> fetch_to(std::shared_ptr<Landing> landing, proto::Large::Reader block) {
  rpc::keep_freed_chunks();
  auto fetch =
      std::make_shared<Fetch>(Fetch{block.getBlock(), std::move(landing), block.getSize()});
  kj::Vector<kj::Promise<void>> lanes;
  for (unsigned i = 0; i < kInFlight && fetch->asked < fetch->size; ++i)
    lanes.add(fetch_pieces(fetch));
  return kj::joinPromises(lanes.releaseAsArray());
}

template <class T>
kj::Promise<Content> fetch_numbers(proto::Large::Reader block) {
  auto landing = std::make_shared<VectorLanding<T>>(block.getSize());
  return fetch_to(landing, block).then([landing] {
    return content_of_vector(std::move(landing->numbers));
  });
}

kj::Promise<Content> fetch_content(proto::Large::Reader block, std::optional<Element> numbers) {
  if (numbers && block.getSize() % Value::Buffer::size_of(*numbers) == 0) {
    switch (*numbers) {
      case Element::int32:
        return fetch_numbers<std::int32_t>(block);
      case Element::int64:
        return fetch_numbers<std::int64_t>(block);
      case Element::float32:
        return fetch_numbers<float>(block);
      case Element::float64:
        return fetch_numbers<double>(block);
      case Element::complex64:
        return fetch_numbers<std::complex<float>>(block);
      case Element::complex128:
        return fetch_numbers<std::complex<double>>(block);
      default:
        break;
    }
  }
  return fetch_block(block).then([](std::shared_ptr<Bytes> bytes) {
    const auto* data = bytes->data();
    const auto size = bytes->size();
    return Content{std::move(bytes), data, size};
  });
}

/// One after the other: their pieces share one connection.
kj::Promise<void> fetch_rest(capnp::List<proto::Large>::Reader blocks,
                             std::optional<Element> numbers, const Contents& contents,
                             unsigned place) {
  if (place == blocks.size()) return kj::READY_NOW;
  return fetch_content(blocks[place], numbers)
      .then([blocks, numbers, contents, place](Content content) {
        (*contents)[place] = std::move(content);
        return fetch_rest(blocks, numbers, contents, place + 1);
      });
}

}  // namespace

kj::Promise<std::shared_ptr<Bytes>> fetch_block(proto::Large::Reader block) {
  auto landing = std::make_shared<BytesLanding>(block.getSize());
  return fetch_to(landing, block).then([landing] { return landing->bytes; });
}

void offer_block(proto::Large::Builder to, const Content& content) {
  rpc::keep_freed_chunks();
  to.setSize(content.size);
  to.setBlock(kj::heap<BlockServer>(content));
}

void offer_blocks(capnp::List<proto::Large>::Builder to, const std::vector<Content>& blocks) {
  for (unsigned i = 0; i < to.size(); ++i) offer_block(to[i], blocks[i]);
}

kj::Promise<Contents> fetch_blocks(capnp::List<proto::Large>::Reader blocks,
                                   std::optional<Element> numbers) {
  auto contents = std::make_shared<std::vector<Content>>(blocks.size());
  return fetch_rest(blocks, numbers, contents, 0).then([contents] { return contents; });
}

}  // namespace knee::detail
