#include "home.h"

#include <signal.h>

#include "common/rpc/process_end.h"
#include "slave/death_report.h"
#include "slave/waits_answer.h"

namespace knee::slave {
namespace {

/// Of the one value a home's worker is passed: its socket.
constexpr std::uint64_t kSocket = 1;

/// A process that closes its socket is about to end; how, is known within this time.
constexpr auto kNewsOfDeath = 2 * kj::SECONDS;

}  // namespace

Home::Home(HomeOwner& owner, kj::UnixEventPort& port, std::uint32_t slot,
           const MakeWorker& make_worker, channel::RecordBuilder& records)
    : owner_(&owner),
      slot_(slot),
      worker_(make_worker(*this, slot)),
      host_(nullptr),
      ended_(kj::Promise<void>(kj::READY_NOW).fork()) {
  auto end = kj::newPromiseAndFulfiller<void>();
  end_ = kj::mv(end.fulfiller);
  ended_ = end.promise.fork();
  line_ = kj::heap<WorkerLine>(port, [this, &port] { return fail_calls(port); });
  // A fresh channel has room for both.
  worker_->pass_value(kSocket, line_->take_worker_socket().get());
  worker_->tell(records.build<proto::ToWorker>(
      [](proto::ToWorker::Builder record) { record.setServeObjects(kSocket); }));
  worker_->publish();
  host_ = line_->bootstrap().castAs<proto::ObjectHost>();
}

Home::~Home() = default;

proto::Object::Client Home::root() {
  return host_.rootRequest().send().getObject();
}

/// Whoever waits for an object, wherever, is to be told what became of it.
kj::Promise<void> Home::fail_calls(kj::UnixEventPort& port) {
  return on_end()
      .exclusiveJoin(port.getTimer().afterDelay(kNewsOfDeath))
      .then([this]() -> kj::Promise<void> {
        if (!death_) return kj::READY_NOW;
        return rpc::process_end(death_->explanation);
      });
}

void Home::finish() {
  finishes_ = true;
  const auto done = [this] { finishes_ = false; };
  finish_ = host_.finishRequest()
                .send()
                .ignoreResult()
                .then([done] { done(); }, [done](kj::Exception&&) { done(); })
                .eagerlyEvaluate(nullptr);
}

void Home::resume() {
  if (worker_) worker_->resume();
}

void Home::end() {
  owner_ = nullptr;
  if (death_) return;
  death_.emplace();
  death_->explanation = "its session has ended";
  death_->killed = KillReason::session_ended;
  worker_.reset();
  line_ = nullptr;
  end_->fulfill();
}

void Home::task_ended(Worker&, QueuedTask, std::span<const std::byte>,
                      std::optional<channel::SharedMemory>) {
  KJ_FAIL_REQUIRE("a worker that serves objects has answered a task");
}

void Home::task_printed(Worker&, std::uint64_t, bool error, std::string text) {
  if (owner_ != nullptr) owner_->home_printed(*this, error, std::move(text));
}

bool Home::may_read() {
  return owner_ == nullptr || owner_->may_read();
}

void Home::worker_died(Worker&, WorkerDeath death) {
  death_ = std::move(death);
  end_->fulfill();
  // The worker is still on the stack.
  burial_ = kj::evalLater([this] { worker_.reset(); }).eagerlyEvaluate(nullptr);
  if (owner_ != nullptr) owner_->home_ended(*this);
}

kj::Promise<void> HomeServer::ended(EndedContext context) {
  context.releaseParams();
  context.allowCancellation();
  return home_->on_end().then(
      [this, context]() mutable { fill_end(context.getResults().initOutcome(), home_->death()); });
}

kj::Promise<void> HomeServer::count(CountContext context) {
  return home_->host().countRequest().send().then(
      [context](capnp::Response<proto::ObjectHost::CountResults> answer) mutable {
        context.getResults().setObjects(answer.getObjects());
      });
}

kj::Promise<void> HomeServer::interrupt(InterruptContext) {
  home_->signal(SIGINT);
  return kj::READY_NOW;
}

kj::Promise<void> HomeServer::waits(WaitsContext context) {
  return home_->host().waitsRequest().send().then(
      [context](capnp::Response<proto::ObjectHost::WaitsResults> answer) mutable {
        pass_on_waits(answer, context.getResults());
      });
}

kj::Promise<void> HomeServer::refuse(RefuseContext context) {
  const auto asked = context.getParams();
  auto request = home_->host().refuseRequest();
  request.setCall(asked.getCall());
  request.setWhy(asked.getWhy());
  return request.send().ignoreResult();
}

kj::Promise<void> HomeServer::end(EndContext) {
  home_->kill();
  return kj::READY_NOW;
}

}  // namespace knee::slave
