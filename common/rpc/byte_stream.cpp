#include "byte_stream.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <utility>

namespace knee::rpc {
namespace {

/// Up to twice this of freed memory stays with the process.
constexpr std::size_t kKept = std::size_t{8} << 20;

/// A sink and the writes that it has not answered.
class Window {
 public:
  Window(proto::ByteSink::Client sink, Heard heard)
      : sink_(kj::mv(sink)), heard_(std::move(heard)) {
    keep_freed_chunks();
  }

  /// Sends a chunk; the promise says when the next may come.
  kj::Promise<void> write(kj::ArrayPtr<const kj::byte> bytes) {
    auto request = sink_.writeRequest(capnp::MessageSize{bytes.size() / 8 + 16, 0});
    request.setBytes(bytes);
    auto answer = request.send();
    if (heard_) answer = answer.then([this] { heard_(); });
    unanswered_.push_back(answer.eagerlyEvaluate(nullptr));
    if (unanswered_.size() < kOnTheirWay) return kj::READY_NOW;
    auto oldest = kj::mv(unanswered_.front());
    unanswered_.pop_front();
    return oldest;
  }

  kj::Promise<void> done() {
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(unanswered_.size());
    for (auto& write : unanswered_) all.add(kj::mv(write));
    unanswered_.clear();
    return kj::joinPromises(all.finish()).then([this] {
      return sink_.doneRequest().send().ignoreResult();
    });
  }

 private:
  proto::ByteSink::Client sink_;
  Heard heard_;
  std::deque<kj::Promise<void>> unanswered_;
};

kj::Promise<void> send_rest(Window& window, std::span<const std::byte> rest) {
  if (rest.empty()) return window.done();
  const auto piece = rest.first(std::min(kChunk, rest.size()));
  return window.write(kj::arrayPtr(reinterpret_cast<const kj::byte*>(piece.data()), piece.size()))
      .then([&window, rest = rest.subspan(piece.size())] { return send_rest(window, rest); });
}

kj::Promise<void> send_rest(Window& window, std::uint64_t size, std::uint64_t offset,
                            ReadPiece& read) {
  if (offset == size) return window.done();
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, size - offset));
  return read(offset, most).then([&window, &read, size, offset](Piece piece) {
    return window.write(kj::arrayPtr(piece->data(), piece->size()))
        .then([&window, &read, size, next = offset + piece->size()] {
          return send_rest(window, size, next, read);
        });
  });
}

}  // namespace

void keep_freed_chunks() {
  static const bool once = [] {
    void* volatile block = std::malloc(kKept);
    std::free(block);
    return true;
  }();
  (void)once;
}

kj::Promise<void> send_bytes(proto::ByteSink::Client sink, std::span<const std::byte> bytes,
                             Heard heard) {
  auto window = kj::heap<Window>(kj::mv(sink), std::move(heard));
  auto& sending = *window;
  return send_rest(sending, bytes).attach(kj::mv(window));
}

kj::Promise<void> send_pieces(proto::ByteSink::Client sink, std::uint64_t size, ReadPiece read,
                              Heard heard) {
  auto window = kj::heap<Window>(kj::mv(sink), std::move(heard));
  auto reader = kj::heap<ReadPiece>(kj::mv(read));
  auto& sending = *window;
  auto& reading = *reader;
  return send_rest(sending, size, 0, reading).attach(kj::mv(window), kj::mv(reader));
}

}  // namespace knee::rpc
