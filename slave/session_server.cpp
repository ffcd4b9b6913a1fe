#include "session_server.h"

#include <kj/debug.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/rpc/byte_stream.h"
#include "slave/byte_sink_server.h"
#include "slave/store_server.h"
#include "slave/waits_answer.h"

namespace knee::slave {
namespace {

/// More pending exchanges than a caller has use for.
constexpr std::size_t kMostPending = 4;
/// Of one argument or result. More than a machine has is refused when it does not fit anyway.
constexpr std::uint64_t kLargestValue = std::uint64_t{1} << 40;
/// Of a command's live standard input, at once.
constexpr std::size_t kLongestInput = std::size_t{1024} * 1024;

rpc::Piece read_piece(const FileValue& value, std::uint64_t offset, std::size_t most) {
  auto piece = std::make_shared<std::vector<kj::byte>>(most);
  const ssize_t got = ::pread(value.file.get(), piece->data(), most, static_cast<off_t>(offset));
  if (got < 0) throw_errno("cannot read a result's file");
  if (got == 0) throw std::runtime_error("a result's file became shorter");
  piece->resize(static_cast<std::size_t>(got));
  return piece;
}

}  // namespace

SessionServer::SessionServer(SlaveContext& slave, DiskPool& disk, BlobStore& store,
                             const std::string& identity, std::uint32_t slot_limit,
                             std::shared_ptr<PreparedProgram> prepared,
                             std::optional<WorkerProgram> program,
                             std::vector<std::string> environment)
    : disk_(disk),
      store_(store),
      prepared_(std::move(prepared)),
      environment_(std::move(environment)),
      session_(slave, identity, slot_limit, std::move(program)) {
  session_.on_news = [this] { answer(); };
}

kj::Promise<void> SessionServer::exchange(ExchangeContext context) {
  const auto shared = context.getParams().getWork().getShared();
  if (shared.size() == 0) return accept(context);
  std::vector<Digest> digests;
  for (const auto raw : shared) digests.push_back(digest_from(raw));
  return disk_.run([this, digests] { return pin_shared(digests); })
      .then([this, context](std::vector<BlobPin> pins) mutable {
        std::map<Digest, std::string> files;
        for (auto& pin : pins) {
          files.emplace(pin.digest(), pin.path());
          shared_pins_.push_back(std::move(pin));
        }
        session_.accept(context.getParams().getWork(), std::move(files));
        context.releaseParams();
        session_.outbox().fill(context.getResults().initUpdate());
      });
}

kj::Promise<void> SessionServer::accept(ExchangeContext context) {
  session_.accept(context.getParams().getWork(), {});
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
    const auto size = session_.outbox().message_size();
    session_.outbox().fill(pending.context.getResults(size).initUpdate());
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
  context.getResults().setSink(kj::heap<ValueSinkServer>(
      session_.values().room_for_argument(params.getSize()), std::move(done)));
  return kj::READY_NOW;
}

kj::Promise<void> SessionServer::getValue(GetValueContext context) {
  const auto id = context.getParams().getId();
  auto value = session_.values().take_result(id);
  KJ_REQUIRE(value.has_value(), "there is no such value, or it was fetched before", id);
  auto sink = context.getParams().getSink();
  context.allowCancellation();
  auto over = kj::defer([this, bytes = session_.values().leaving(*value)] {
    session_.values().delivered(bytes);
    session_.resume();
  });
  return send(std::move(*value), kj::mv(sink)).attach(kj::mv(over));
}

kj::Promise<void> SessionServer::send(ResultValue value, proto::ByteSink::Client sink) {
  if (auto* file = std::get_if<FileValue>(&value))
    return rpc::send_pieces(
        kj::mv(sink), file->size,
        [this, kept = std::make_shared<FileValue>(std::move(*file))](std::uint64_t offset,
                                                                     std::size_t most) {
          return disk_.run([kept, offset, most] { return read_piece(*kept, offset, most); });
        });
  auto memory = kj::heap<channel::SharedMemory>(std::get<channel::SharedMemory>(std::move(value)));
  const auto bytes = memory->bytes();
  auto sent = rpc::send_bytes(kj::mv(sink), bytes);
  auto reuse = kj::defer(
      [this, memory = kj::mv(memory)]() mutable { session_.values().reuse(std::move(*memory)); });
  // Thousands of these may wait for a slow driver: one copy of each is enough.
  if (bytes.size() <= rpc::kChunk) return sent;
  return sent.attach(kj::mv(reuse));
}

kj::Promise<void> SessionServer::signalTask(SignalTaskContext context) {
  const auto number = context.getParams().getSignal();
  KJ_REQUIRE(number > 0 && number <= SIGRTMAX, "there is no such signal", number);
  session_.signal(context.getParams().getId(), number);
  return kj::READY_NOW;
}

kj::Promise<void> SessionServer::writeStdin(WriteStdinContext context) {
  const auto params = context.getParams();
  KJ_REQUIRE(params.getBytes().size() <= kLongestInput, "too much of a standard input at once",
             params.getBytes().size());
  auto written = session_.write_input(
      params.getId(), kj::heapArray<const kj::byte>(params.getBytes()), params.getEnd());
  context.releaseParams();
  context.allowCancellation();
  return written.then([context](InputPipe::Answer answer) mutable {
    context.getResults().setClosed(answer == InputPipe::Answer::closed);
  });
}

kj::Promise<void> SessionServer::taskWaits(TaskWaitsContext context) {
  KJ_IF_MAYBE (worker, session_.worker_of(context.getParams().getId())) {
    // The answer may take as long as the task, which must not keep a session whose driver is gone.
    context.allowCancellation();
    return worker->waitsRequest().send().then(
        [context](capnp::Response<proto::TaskObjects::WaitsResults> answer) mutable {
          pass_on_waits(answer, context.getResults());
        });
  }
  return kj::READY_NOW;
}

kj::Promise<void> SessionServer::refuseInTask(RefuseInTaskContext context) {
  const auto asked = context.getParams();
  KJ_IF_MAYBE (worker, session_.worker_of(asked.getId())) {
    auto request = worker->refuseRequest();
    request.setCall(asked.getCall());
    request.setWhy(asked.getWhy());
    context.allowCancellation();
    return request.send().ignoreResult();
  }
  return kj::READY_NOW;
}

kj::Promise<void> SessionServer::openHome(OpenHomeContext context) {
  auto files = announced_files(context.getParams().getProgram());
  if (files.empty()) {
    answer(context, session_.open_home());
    return kj::READY_NOW;
  }
  return disk_.run([this, files = std::move(files)] { return prepare_program(store_, files); })
      .then([this, context](std::shared_ptr<PreparedProgram> program) mutable {
        const auto key = program->folder.digest();
        const auto [kept, is_new] = other_programs_.try_emplace(key, program);
        // The same as before is let go of: a session may open any number of homes. Not here, since
        // its pins wait for the store's lock.
        if (!is_new) {
          auto released = disk_.run([again = std::move(program)]() mutable { again.reset(); });
        }
        answer(context, session_.open_home(worker_program(*kept->second, {}, environment_)));
      });
}

void SessionServer::answer(OpenHomeContext& context, std::shared_ptr<Home> home) {
  context.getResults().setRoot(home->root());
  context.getResults().setHome(kj::heap<HomeServer>(std::move(home)));
}

}  // namespace knee::slave
