#include "slave_link.h"

#include <kj/debug.h>
#include <unistd.h>

#include <random>

#include "client/driver/function_table.h"
#include "client/driver/task_access.h"
#include "common/channel/layout.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

using detail::Access;

constexpr auto kBeat = 2 * kj::SECONDS;
/// Beats without an answer. Counted in beats of ours, not in seconds: a process that was stopped for a
/// minute has missed no answer in that time.
constexpr unsigned kSuspectAfter = 3;
constexpr unsigned kLostAfter = 10;
constexpr auto kShortestRetry = 50 * kj::MILLISECONDS;
constexpr auto kLongestRetry = 5 * kj::SECONDS;
constexpr std::size_t kChunk = 512 * 1024;

std::minstd_rand& random_source() {
  static thread_local std::minstd_rand source(std::random_device{}());
  return source;
}

kj::Duration retry_delay(unsigned failures) {
  auto delay = kShortestRetry;
  for (unsigned i = 1; i < failures && delay < kLongestRetry; ++i) delay = delay * 2;
  if (delay > kLongestRetry) delay = kLongestRetry;
  return delay / 2 + delay * static_cast<int>(random_source()() % 1000) / 2000;
}

/// Collects a streamed value into a task's payload.
class PayloadSink final : public proto::ByteSink::Server {
 public:
  explicit PayloadSink(detail::Bytes& payload) : payload_(payload) {}
  kj::Promise<void> write(WriteContext context) override {
    const auto bytes = context.getParams().getBytes();
    payload_.append(bytes.begin(), bytes.size());
    return kj::READY_NOW;
  }
  kj::Promise<void> done(DoneContext) override { return kj::READY_NOW; }

 private:
  detail::Bytes& payload_;
};

kj::Promise<void> stream_payload(proto::ByteSink::Client sink, const detail::Bytes& payload,
                                 std::size_t offset) {
  const auto rest = payload.view().subspan(offset);
  if (rest.empty()) return sink.doneRequest().send().ignoreResult();
  const auto piece = rest.first(std::min(kChunk, rest.size()));
  auto request = sink.writeRequest(capnp::MessageSize{piece.size() / 8 + 16, 0});
  request.setBytes(kj::arrayPtr(reinterpret_cast<const kj::byte*>(piece.data()), piece.size()));
  return request.send().then([sink, &payload, next = offset + piece.size()]() mutable {
    return stream_payload(sink, payload, next);
  });
}

}  // namespace

/// Errors of single calls mean that the connection broke, which `live` notices itself.
struct SlaveLink::CallErrors final : kj::TaskSet::ErrorHandler {
  explicit CallErrors(SlaveLink& link) : link(link) {}
  void taskFailed(kj::Exception&& error) override {
    KJ_IF_MAYBE (broken, link.broken_) {
      if ((*broken)->isWaiting()) (*broken)->reject(kj::mv(error));
    }
  }
  SlaveLink& link;
};

SlaveLink::SlaveLink(LinkOwner& owner, kj::AsyncIoContext& io, Shipment& shipment,
                     kj::Own<Connector> connector, SlaveId id, std::string name)
    : owner_(owner),
      io_(io),
      shipment_(shipment),
      connector_(kj::mv(connector)),
      id_(id),
      name_(std::move(name)),
      errors_(kj::heap<CallErrors>(*this)),
      calls_(kj::heap<kj::TaskSet>(*errors_)) {}

SlaveLink::~SlaveLink() = default;

void SlaveLink::start() {
  life_ = live().eagerlyEvaluate(nullptr);
}

kj::Promise<void> SlaveLink::live() {
  return kj::evalNow([this] { return connector_->connect(); })
      .then([this](Connected connected) {
        auto held = kj::heap<Connected>(kj::mv(connected));
        owner_.link_named(*this, held->name);
        auto& open_one = *held;
        return open(open_one).attach(kj::mv(held));
      })
      .then([] { return std::string("the slave closed the connection"); },
            [](kj::Exception&& error) { return rpc::text_of(error); })
      .then([this](std::string why) {
        lost(why);
        return io_.provider->getTimer().afterDelay(retry_delay(failures_));
      })
      .then([this] { return live(); });
}

kj::Promise<void> SlaveLink::open(Connected& connected) {
  auto paf = kj::newPromiseAndFulfiller<void>();
  broken_ = kj::mv(paf.fulfiller);
  auto ready = connected.slave.storeRequest()
                   .send()
                   .then([this](auto&& results) { return shipment_.send(results.getStore()); })
                   .then([this, &connected] {
                     auto request = connected.slave.openSessionRequest();
                     auto session = request.initRequest();
                     shipment_.fill(session.initVariants(1)[0]);
                     owner_.fill_session(session);
                     return request.send();
                   })
                   .then([this](capnp::Response<proto::Slave::OpenSessionResults> results) {
                     session_ = results.getSession();
                     functions_sent_ = 0;
                     acknowledge_ = 0;
                     // The first answer tells the slots.
                     exchange({});
                   });
  return ready.then([promise = kj::mv(paf.promise)]() mutable { return kj::mv(promise); })
      .exclusiveJoin(kj::mv(connected.disconnected))
      .exclusiveJoin(heartbeat(connected.slave, std::make_shared<unsigned>(0)));
}

kj::Promise<void> SlaveLink::heartbeat(proto::Slave::Client slave,
                                       std::shared_ptr<unsigned> unanswered) {
  auto answer = slave.describeRequest().send().then(
      [unanswered](auto&&) { *unanswered = 0; }, [](kj::Exception&&) {});
  calls_->add(kj::mv(answer));
  ++*unanswered;
  return io_.provider->getTimer().afterDelay(kBeat).then(
      [this, slave, unanswered]() mutable -> kj::Promise<void> {
        if (*unanswered >= kLostAfter)
          return KJ_EXCEPTION(DISCONNECTED, "the slave has not answered for 20 s");
        if (*unanswered == kSuspectAfter) owner_.note(*this, "has not answered for 6 s; waiting");
        return heartbeat(kj::mv(slave), unanswered);
      });
}

void SlaveLink::lost(const std::string& why) {
  ++failures_;
  last_error_ = "cannot use " + connector_->target() + ": " + why;
  session_ = nullptr;
  broken_ = nullptr;
  calls_ = kj::heap<kj::TaskSet>(*errors_);
  tasks_here_ = pending_ = 0;
  take_back_ = 0;
  take_back_asked_ = false;
  cancel_.clear();
  drop_values_.clear();
  const bool was_up = std::exchange(up_, false);
  slots_ = 0;
  owner_.link_down(*this, was_up ? why : last_error_);
}

// --- tasks out

void SlaveLink::send(std::span<detail::TaskState* const> tasks) {
  tasks_here_ += tasks.size();
  if (!values_first(tasks)) return exchange(tasks);
  // Large arguments travel ahead of their tasks; the others need not wait for them.
  std::vector<detail::TaskState*> small;
  for (auto* task : tasks) {
    if (Access::payload(*task).size() <= channel::kMaxInline) {
      small.push_back(task);
      continue;
    }
    calls_->add(put_value(*task).then([this, task, keep = detail::Access::share(*task)] {
      exchange({&task, 1});
    }));
  }
  if (!small.empty()) exchange(small);
}

bool SlaveLink::values_first(std::span<detail::TaskState* const> tasks) {
  return std::any_of(tasks.begin(), tasks.end(), [](detail::TaskState* task) {
    return Access::payload(*task).size() > channel::kMaxInline;
  });
}

kj::Promise<void> SlaveLink::put_value(detail::TaskState& task) {
  KJ_IF_MAYBE (session, session_) {
    auto request = session->putValueRequest();
    request.setId(task.id);
    request.setSize(Access::payload(task).size());
    return stream_payload(request.send().getSink(), Access::payload(task), 0);
  }
  return kj::READY_NOW;
}

void SlaveLink::exchange(std::span<detail::TaskState* const> tasks) {
  KJ_IF_MAYBE (session, session_) {
    auto request = session->exchangeRequest();
    auto work = request.initWork();
    work.setAcknowledge(acknowledge_);
    fill_functions(work);
    fill_tasks(work, tasks);
    work.setTakeBack(std::exchange(take_back_, 0));
    if (!cancel_.empty()) {
      auto list = work.initCancel(static_cast<unsigned>(cancel_.size()));
      for (unsigned i = 0; i < list.size(); ++i) list.set(i, cancel_[i]);
      work.setCancelGrace(cancel_grace_);
      cancel_.clear();
    }
    if (!drop_values_.empty()) {
      auto list = work.initDropValues(static_cast<unsigned>(drop_values_.size()));
      for (unsigned i = 0; i < list.size(); ++i) list.set(i, drop_values_[i]);
      drop_values_.clear();
    }
    ++pending_;
    calls_->add(
        request.send().then([this](capnp::Response<proto::Session::ExchangeResults> answer) {
          --pending_;
          receive(answer.getUpdate());
        }));
  }
}

void SlaveLink::fill_functions(proto::Work::Builder work) {
  auto& table = FunctionTable::instance();
  if (table.size() == functions_sent_) return;
  const auto entries = table.from(functions_sent_);
  auto list = work.initFunctions(static_cast<unsigned>(entries.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    const auto place = shipment_.locate(reinterpret_cast<const void*>(entries[i]->thunk));
    list[i].setFile(place.file);
    list[i].setOffset(place.offset);
    list[i].setLabel(std::string(entries[i]->label));
  }
  functions_sent_ += static_cast<std::uint32_t>(entries.size());
}

void SlaveLink::fill_tasks(proto::Work::Builder work, std::span<detail::TaskState* const> tasks) {
  if (tasks.empty()) return;
  auto list = work.initTasks(static_cast<unsigned>(tasks.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    detail::TaskState& task = *tasks[i];
    auto out = list[i];
    out.setId(task.id);
    out.setFunction(detail::function_index(*Access::function(task)) - 1);
    out.setAttempt(task.attempt);
    out.setCores(task.cores);
    out.setTimeout(task.timeout);
    const auto& payload = Access::payload(task);
    if (payload.size() <= channel::kMaxInline)
      out.initArguments().setInline(
          kj::arrayPtr(reinterpret_cast<const kj::byte*>(payload.data()), payload.size()));
    else
      out.initArguments().setValue(task.id);
  }
}

void SlaveLink::take_back(std::uint32_t count) {
  take_back_ += count;
  take_back_asked_ = true;
  given_back_ = 0;
  exchange({});
}

void SlaveLink::cancel(std::uint64_t task, std::uint64_t grace) {
  cancel_.push_back(task);
  cancel_grace_ = grace;
}

void SlaveLink::drop_value(std::uint64_t value) {
  drop_values_.push_back(value);
}

kj::Promise<void> SlaveLink::fetch(std::uint64_t value, std::uint64_t size,
                                   detail::TaskState& task) {
  KJ_IF_MAYBE (session, session_) {
    auto& payload = Access::payload(task);
    payload = detail::Bytes();
    payload.reserve(size);
    auto request = session->getValueRequest();
    request.setId(value);
    request.setSink(kj::heap<PayloadSink>(payload));
    return request.send().ignoreResult();
  }
  return KJ_EXCEPTION(DISCONNECTED, "the slave is gone");
}

void SlaveLink::pump() {
  if (session_ == nullptr) return;
  const bool something = !cancel_.empty() || !drop_values_.empty();
  if (something || (pending_ == 0 && tasks_here_ != 0 && owner_.may_receive())) exchange({});
}

// --- outcomes in

void SlaveLink::receive(proto::Update::Reader update) {
  acknowledge_ = std::max(acknowledge_, update.getNumber());
  if (update.getSlots() != 0) {
    slots_ = update.getSlots();
    failures_ = 0;
    up_ = true;
    owner_.link_up(*this, slots_);
  }
  for (const auto started : update.getStarted()) owner_.started(*this, started);
  for (const auto output : update.getOutput()) owner_.printed(*this, output);
  for (const auto outcome : update.getOutcomes()) {
    if (tasks_here_ != 0) --tasks_here_;
    if (outcome.isNotStarted()) ++given_back_;
    owner_.outcome(*this, outcome);
  }
  for (const auto note : update.getNotes()) owner_.note(*this, note.cStr());
  if (update.getTakeBackAnswered() && std::exchange(take_back_asked_, false))
    owner_.take_back_answered(*this, given_back_);
  owner_.link_progressed(*this);
}

}  // namespace knee::driver
