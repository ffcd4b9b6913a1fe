#include "session_server.h"

#include <kj/debug.h>

#include "slave/byte_sink_server.h"
#include "slave/store_server.h"

namespace knee::slave {
namespace {

/// More pending exchanges than a caller has use for.
constexpr std::size_t kMostPending = 4;
constexpr std::size_t kChunk = 512 * 1024;
/// Of one argument or result. More than a machine has is refused when it does not fit anyway.
constexpr std::uint64_t kLargestValue = std::uint64_t{1} << 40;

/// Streams `memory[offset...]` into `sink`; the flow control of streaming paces it.
kj::Promise<void> send_from(proto::ByteSink::Client sink,
                            std::shared_ptr<channel::SharedMemory> memory, std::size_t offset) {
  const auto rest = memory->bytes().subspan(offset);
  if (rest.empty()) return sink.doneRequest().send().ignoreResult();
  const auto piece = rest.first(std::min(kChunk, rest.size()));
  auto request = sink.writeRequest(capnp::MessageSize{piece.size() / 8 + 16, 0});
  request.setBytes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(piece.data()), piece.size()));
  return request.send().then([sink, memory, next = offset + piece.size()]() mutable {
    return send_from(sink, memory, next);
  });
}

}  // namespace

SessionServer::SessionServer(SlaveContext& slave, DiskPool& disk, BlobStore& store,
                             const std::string& identity, std::uint32_t slot_limit,
                             std::shared_ptr<PreparedProgram> prepared,
                             std::optional<WorkerProgram> program)
    : disk_(disk),
      store_(store),
      prepared_(std::move(prepared)),
      session_(slave, identity, slot_limit, std::move(program)) {
  session_.on_news = [this] { answer(); };
}

kj::Promise<void> SessionServer::exchange(ExchangeContext context) {
  const auto shared = context.getParams().getWork().getShared();
  if (shared.size() == 0) return accept(context, {});
  std::vector<Digest> digests;
  for (const auto raw : shared) digests.push_back(digest_from(raw));
  return disk_.run([this, digests] { return pin_shared(digests); })
      .then([this, context](std::vector<BlobPin> pins) mutable {
        std::vector<std::string> paths;
        for (auto& pin : pins) {
          paths.push_back(pin.path());
          shared_pins_.push_back(std::move(pin));
        }
        return accept(context, std::move(paths));
      });
}

kj::Promise<void> SessionServer::accept(ExchangeContext context,
                                        std::vector<std::string> shared_paths) {
  session_.accept(context.getParams().getWork(), std::move(shared_paths));
  context.releaseParams();
  context.allowCancellation();
  auto paf = kj::newPromiseAndFulfiller<void>();
  pending_.push_back({context, kj::mv(paf.fulfiller)});
  if (pending_.size() > kMostPending) {
    pending_.front().answered->fulfill();
    pending_.pop_front();
  }
  answer();
  return kj::mv(paf.promise);
}

std::vector<BlobPin> SessionServer::pin_shared(const std::vector<Digest>& digests) {
  std::vector<BlobPin> pins;
  for (const auto& digest : digests) {
    auto pin = store_.pin(digest);
    if (!pin) throw std::runtime_error("the shared value " + digest.hex() + " is not in the store");
    pins.push_back(std::move(*pin));
  }
  return pins;
}

void SessionServer::answer() {
  bool any = false;
  while (!pending_.empty() && !session_.outbox().empty()) {
    Pending pending = kj::mv(pending_.front());
    pending_.pop_front();
    if (!pending.answered->isWaiting()) continue;  // the driver has dropped the call
    session_.outbox().fill(pending.context.getResults().initUpdate());
    pending.answered->fulfill();
    any = true;
  }
  if (any) session_.resume();
}

kj::Promise<void> SessionServer::putValue(PutValueContext context) {
  const auto params = context.getParams();
  KJ_REQUIRE(params.getSize() <= kLargestValue, "a value is too large", params.getSize());
  auto self = thisCap();
  auto done = [this, self = kj::mv(self), id = params.getId()](channel::SharedMemory memory) {
    session_.values().put_argument(id, std::move(memory));
  };
  context.getResults().setSink(kj::heap<ValueSinkServer>(params.getSize(), std::move(done)));
  return kj::READY_NOW;
}

kj::Promise<void> SessionServer::getValue(GetValueContext context) {
  const auto id = context.getParams().getId();
  auto memory = session_.values().take_result(id);
  KJ_REQUIRE(memory.has_value(), "there is no such value, or it was fetched before", id);
  auto sink = context.getParams().getSink();
  context.allowCancellation();
  return send_from(kj::mv(sink), std::make_shared<channel::SharedMemory>(std::move(*memory)), 0)
      .then([this] { session_.resume(); });
}

}  // namespace knee::slave
