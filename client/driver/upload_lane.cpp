#include "upload_lane.h"

#include <utility>

#include "common/rpc/byte_stream.h"

namespace knee::driver {
namespace {

/// What one upload has on its way (rpc::send_bytes).
constexpr std::uint64_t kTogether = rpc::kOnTheirWay * rpc::kChunk;

}  // namespace

UploadLane::Turn::Turn(UploadLane& lane, std::uint64_t bytes) : lane_(lane), bytes_(bytes) {
  lane_.bytes_ += bytes_;
}

UploadLane::Turn::~Turn() {
  lane_.bytes_ -= bytes_;
  lane_.let_in();
}

kj::Promise<kj::Own<UploadLane::Turn>> UploadLane::take(std::uint64_t bytes) {
  auto paf = kj::newPromiseAndFulfiller<kj::Own<Turn>>();
  waiting_.push_back({bytes, kj::mv(paf.fulfiller)});
  let_in();
  return kj::mv(paf.promise);
}

void UploadLane::let_in() {
  while (!waiting_.empty()) {
    auto& first = waiting_.front();
    if (first.turn->isWaiting()) {
      if (bytes_ != 0 && bytes_ + first.bytes > kTogether) return;
      auto fulfiller = kj::mv(first.turn);
      const auto bytes = first.bytes;
      waiting_.pop_front();
      fulfiller->fulfill(kj::heap<Turn>(*this, bytes));
    } else {
      waiting_.pop_front();
    }
  }
}

}  // namespace knee::driver
