#include "slave_link.h"

#include <kj/debug.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <sstream>
#include <stdexcept>

#include "client/call/task_access.h"
#include "client/driver/command_wire.h"
#include "client/driver/function_call.h"
#include "client/driver/function_table.h"
#include "client/driver/input_feed.h"
#include "client/driver/upload.h"
#include "client/driver/wire_time.h"
#include "common/base/size_text.h"
#include "common/channel/layout.h"
#include "common/rpc/byte_stream.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

using detail::Access;

/// Beats without an answer. Counted in beats of ours, not in seconds: a process that was stopped
/// for a minute has missed no answer in that time.
constexpr unsigned kSuspectAfter = 3;
constexpr unsigned kLostAfter = 10;
constexpr auto kShortestRetry = 50 * kj::MILLISECONDS;
constexpr auto kLongestRetry = 5 * kj::SECONDS;
/// Of a function that lies in no shipped file (worker.capnp).
constexpr std::uint32_t kNoFile = UINT32_MAX;
/// More make an answer worth its memory.
constexpr unsigned kFewOutcomes = 16;

/// "6", "0.3"
std::string seconds_text(kj::Duration duration) {
  std::ostringstream text;
  text << static_cast<double>(duration / kj::MILLISECONDS) / 1000;
  return text.str();
}

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

/// Collects a streamed value into a Bytes or a string. A slave may hold it for longer than the
/// value is wanted: then `into` is null.
template <class Into>
class PayloadSink final : public proto::ByteSink::Server {
 public:
  /// `heard` is called for each piece, as long as there is `into`.
  PayloadSink(std::shared_ptr<Into*> into, std::uint64_t size, rpc::Heard heard)
      : into_(std::move(into)), size_(size), heard_(std::move(heard)) {}
  kj::Promise<void> write(WriteContext context) override {
    const auto bytes = context.getParams().getBytes();
    KJ_REQUIRE(*into_ != nullptr, "nobody waits for this value any more");
    KJ_REQUIRE(bytes.size() <= size_ - (*into_)->size(), "a value is longer than was said");
    (*into_)->append(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
    heard_();
    return kj::READY_NOW;
  }
  kj::Promise<void> done(DoneContext) override { return kj::READY_NOW; }

 private:
  std::shared_ptr<Into*> into_;  ///< shared with the fetch, which ends first or last
  std::uint64_t size_;
  rpc::Heard heard_;
};

/// About what a batch takes: a message of one piece is read much faster than one of many.
capnp::MessageSize size_of(std::span<detail::TaskState* const> tasks) {
  std::uint64_t words = 64;
  for (auto* task : tasks)
    words += 16 + std::min(payload_of(*task).size(), channel::kMaxInline) / sizeof(capnp::word);
  return {words, 0};
}

unsigned length_of(const std::vector<std::uint64_t>& ids) {
  return static_cast<unsigned>(ids.size());
}

void move_into(capnp::List<std::uint64_t>::Builder list, std::vector<std::uint64_t>& ids) {
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, ids[i]);
  ids.clear();
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

SlaveLink::SlaveLink(LinkOwner& owner, kj::AsyncIoContext& io, Shipment* shipment,
                     InputFiles& inputs, kj::Own<Connector> connector, SlaveId id, std::string name,
                     kj::Duration beat)
    : owner_(owner),
      io_(io),
      shipment_(shipment),
      input_files_(inputs),
      connector_(kj::mv(connector)),
      id_(id),
      name_(std::move(name)),
      beat_(beat),
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
        cpu_flags_ = held->cpu_flags;
        unfit_.clear();
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
  slave_ = connected.slave;
  store_ = connected.slave.storeRequest().send().getStore();
  auto shipped = kj::Promise<void>(kj::READY_NOW);
  if (shipment_ != nullptr)
    KJ_IF_MAYBE (store, store_) shipped = shipment_->send(*store, heard_);
  auto ready =
      shipped.then([this, &connected] { return open_session(connected.slave); })
          .catch_([this, &connected](kj::Exception&& error) -> kj::Promise<void> {
            if (shipment_ == nullptr || error.getType() == kj::Exception::Type::DISCONNECTED)
              return kj::mv(error);
            return find_unfit(connected.slave)
                .then([this, error = kj::mv(error)]() mutable -> kj::Promise<void> {
                  if (unfit_.empty()) return kj::mv(error);
                  throw std::runtime_error(unfit_);
                });
          });
  return ready.then([promise = kj::mv(paf.promise)]() mutable { return kj::mv(promise); })
      .exclusiveJoin(kj::mv(connected.disconnected))
      .exclusiveJoin(heartbeat(connected.slave));
}

kj::Promise<void> SlaveLink::open_session(proto::Slave::Client slave) {
  auto request = slave.openSessionRequest();
  auto session = request.initRequest();
  if (shipment_ != nullptr) shipment_->fill(session.initVariants(1)[0]);
  owner_.fill_session(session);
  return request.send().then([this](capnp::Response<proto::Slave::OpenSessionResults> results) {
    session_ = results.getSession();
    ++session_number_;
    functions_sent_ = 0;
    acknowledge_ = 0;
    draining_ = false;
    // The first answer tells the slots.
    exchange({});
  });
}

kj::Promise<void> SlaveLink::find_unfit(proto::Slave::Client slave) {
  return slave.describeRequest().send().then([this](auto&& answer) {
    const std::uint64_t limit = answer.getDescription().getStoreLimit();
    const std::uint64_t needed = shipment_->room_needed();
    if (limit == 0 || needed <= limit) return;
    unfit_ = "its store is too small for this program, which needs " + size_text(needed) +
             " there, as files and as the copies they are started from; the store's limit is " +
             size_text(limit) + ": start knee-slave with a larger --store-size";
    if (!std::exchange(told_unfit_, true)) owner_.note(*this, unfit_);
  });
}

kj::Promise<void> SlaveLink::heartbeat(proto::Slave::Client slave) {
  calls_->add(slave.describeRequest().send().then(
      [this](auto&& answer) {
        unanswered_beats_ = 0;
        learn_end(answer.getDescription().getEndsAt());
      },
      [](kj::Exception&&) {}));
  ++unanswered_beats_;
  return io_.provider->getTimer().afterDelay(beat_).then(
      [this, slave]() mutable -> kj::Promise<void> {
        if (unanswered_beats_ >= kLostAfter)
          return kj::Exception(
              kj::Exception::Type::DISCONNECTED, __FILE__, __LINE__,
              kj::str("the slave has not answered for ", seconds_text(beat_ * kLostAfter), " s"));
        if (unanswered_beats_ == kSuspectAfter)
          owner_.note(
              *this, "has not answered for " + seconds_text(beat_ * kSuspectAfter) + " s; waiting");
        return heartbeat(kj::mv(slave));
      });
}

void SlaveLink::break_off(const std::string& why) {
  KJ_IF_MAYBE (broken, broken_) {
    if ((*broken)->isWaiting())
      (*broken)->reject(
          kj::Exception(kj::Exception::Type::FAILED, "", 0, kj::str("the slave ", why.c_str())));
  }
}

void SlaveLink::learn_end(std::int64_t ends_at) {
  if (ends_at == ends_at_) return;
  ends_at_ = ends_at;
  end_ = end_from_wire(ends_at, std::chrono::system_clock::now(), std::chrono::steady_clock::now());
  if (up_) owner_.link_up(*this, slots_);
}

void SlaveLink::lost(const std::string& why) {
  ++failures_;
  last_error_ = "cannot use " + connector_->target() + ": " + why;
  broken_ = nullptr;
  calls_ = kj::heap<kj::TaskSet>(*errors_);
  shared_.forget();
  inputs_.forget();
  give_back_leaving(why);
  answered_.clear();
  session_ = nullptr;
  store_ = nullptr;
  slave_ = nullptr;
  tasks_here_ = pending_ = 0;
  unanswered_beats_ = 0;
  told_full_ = false;
  take_back_ = 0;
  take_back_asked_ = false;
  listens_ = false;
  cancel_.clear();
  drop_values_.clear();
  awaited_.clear();
  const bool was_up = std::exchange(up_, false);
  slots_ = 0;
  ends_at_ = 0;
  end_.reset();
  owner_.link_down(*this, was_up ? why : last_error_);
}

/// What had not left was never started, whatever has become of the slave.
void SlaveLink::give_back_leaving(const std::string& why) {
  auto leaving = std::exchange(leaving_, {});
  for (auto& [id, one] : leaving) {
    one.task->attempt = static_cast<std::uint16_t>(one.task->attempt - 1);
    owner_.unsent(*this, *one.task, AttemptEnd::given_back, why);
  }
}

// --- tasks out

void SlaveLink::send(std::span<detail::TaskState* const> tasks) {
  tasks_here_ += tasks.size();
  const auto at_once = [](detail::TaskState* task) { return goes_at_once(*task); };
  if (std::all_of(tasks.begin(), tasks.end(), at_once)) return exchange(tasks);
  // Large arguments and input files travel ahead of their tasks; the others need not wait for them.
  std::vector<detail::TaskState*> ready;
  for (auto* task : tasks) {
    if (at_once(task))
      ready.push_back(task);
    else
      send_later(*task);
  }
  if (!ready.empty()) exchange(ready);
}

bool SlaveLink::goes_at_once(detail::TaskState& task) {
  return payload_of(task).size() <= channel::kMaxInline && Access::shared(task).empty() &&
         (!is_command(task) || command_job(task).command.inputs.empty());
}

void SlaveLink::exchange(std::span<detail::TaskState* const> tasks) {
  KJ_IF_MAYBE (session, session_) {
    auto request = session->exchangeRequest(size_of(tasks));
    auto work = request.initWork();
    work.setAcknowledge(acknowledge_);
    fill_functions(work);
    fill_tasks(work, tasks);
    work.setTakeBack(std::exchange(take_back_, 0));
    if (!cancel_.empty()) work.setCancelGrace(cancel_grace_);
    move_into(work.initCancel(length_of(cancel_)), cancel_);
    move_into(work.initDropValues(length_of(drop_values_)), drop_values_);
    move_into(work.initAwaited(length_of(awaited_)), awaited_);
    ++pending_;
    calls_->add(
        request.send().then([this](capnp::Response<proto::Session::ExchangeResults> answer) {
          --pending_;
          receive(answer.getUpdate());
          // Letting go of an answer sends a message, which can travel with the next request.
          if (answer.getUpdate().getOutcomes().size() < kFewOutcomes)
            answered_.push_back(kj::mv(answer));
        }));
    answered_.clear();
  }
}

void SlaveLink::fill_functions(proto::Work::Builder work) {
  if (shipment_ == nullptr) return;
  auto& table = FunctionTable::instance();
  if (table.size() == functions_sent_) return;
  const auto entries = table.from(functions_sent_);
  auto list = work.initFunctions(static_cast<unsigned>(entries.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    const std::string label(entries[i]->label);
    try {
      const auto place = shipment_->locate(reinterpret_cast<const void*>(entries[i]->thunk));
      list[i].setFile(place.file);
      list[i].setOffset(place.offset);
      list[i].setLabel(label);
    } catch (const std::exception& error) {
      list[i].setFile(kNoFile);
      list[i].setLabel(error.what() + std::string(" (") + label + ")");
    }
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
    out.setAttempt(task.attempt);
    out.setCores(task.cores);
    out.setTimeout(task.timeout);
    if (is_command(task)) {
      fill_command(out.initCommand(), command_job(task), task.id);
      continue;
    }
    out.setFunction(detail::function_index(*Access::function(task)) - 1);
    fill_payload(out.initArguments(), payload_of(task), task.id);
    const auto& uses = Access::shared(task);
    if (!uses.empty()) {
      auto digests = out.initShared(static_cast<unsigned>(uses.size()));
      for (unsigned j = 0; j < digests.size(); ++j) digests.set(j, bytes_of(uses[j]->digest));
    }
    if (const auto* call = function_call(task); call != nullptr && !call->objects.empty()) {
      auto lent = owner_.lend(task);
      auto objects = out.initCapabilities(static_cast<unsigned>(lent.size()));
      for (unsigned j = 0; j < objects.size(); ++j) objects.set(j, lent[j]);
      out.setChain(call->chain);
    }
  }
}

void SlaveLink::take_back(std::uint32_t count) {
  take_back_ += count;
  take_back_asked_ = true;
  given_back_ = 0;
  exchange({});
}

void SlaveLink::cancel(std::uint64_t task, std::uint64_t grace) {
  // Those of one message have one grace.
  if (!cancel_.empty() && cancel_grace_ != grace) exchange({});
  // Also one that has not left: what went ahead of it is to be dropped there.
  cancel_.push_back(task);
  cancel_grace_ = grace;
  const auto leaving = leaving_.find(task);
  if (leaving == leaving_.end()) return;
  Leaving stopped = std::move(leaving->second);
  leaving_.erase(leaving);
  *stopped.failure = AttemptEnd::cancelled;
  stopped.canceler->cancel(KJ_EXCEPTION(FAILED, "was cancelled"));
}

void SlaveLink::start_awaited(std::uint64_t task) {
  const auto leaving = leaving_.find(task);
  if (leaving != leaving_.end())
    leaving->second.awaited = true;
  else
    awaited_.push_back(task);
}

void SlaveLink::drop_value(std::uint64_t value) {
  drop_values_.push_back(value);
}

kj::Promise<void> SlaveLink::fetch(std::uint64_t value, std::uint64_t size, detail::Bytes& into) {
  return fetch_to(value, size, into);
}

kj::Promise<void> SlaveLink::fetch(std::uint64_t value, std::uint64_t size, std::string& into) {
  return fetch_to(value, size, into);
}

template <class Into>
kj::Promise<void> SlaveLink::fetch_to(std::uint64_t value, std::uint64_t size, Into& into) {
  into.reserve(size);
  auto wanted = std::make_shared<Into*>(&into);
  auto over = kj::defer([wanted] { *wanted = nullptr; });
  return fetch_into(value, kj::heap<PayloadSink<Into>>(wanted, size, heard_))
      .then([&into, size] { KJ_REQUIRE(into.size() == size, "a value is shorter than was said"); })
      .attach(kj::mv(over));
}

kj::Promise<void> SlaveLink::fetch_into(std::uint64_t value, proto::ByteSink::Client sink) {
  KJ_IF_MAYBE (session, session_) {
    auto request = session->getValueRequest();
    request.setId(value);
    request.setSink(kj::mv(sink));
    return request.send().ignoreResult();
  }
  return KJ_EXCEPTION(DISCONNECTED, "the slave is gone");
}

void SlaveLink::signal(std::uint64_t task, int number) {
  KJ_IF_MAYBE (session, session_) {
    auto request = session->signalTaskRequest();
    request.setId(task);
    request.setSignal(number);
    calls_->add(request.send().ignoreResult().catch_([](kj::Exception&&) {}));
  }
}

void SlaveLink::feed(std::uint64_t task, std::shared_ptr<InputSource> source) {
  KJ_IF_MAYBE (session, session_)
    keep(feed_input(*session, task, std::move(source),
                    [this](const std::string& text) { owner_.note(*this, text); }));
}

void SlaveLink::keep(kj::Promise<void> promise) {
  calls_->add(kj::mv(promise));
}

void SlaveLink::pump() {
  if (session_ == nullptr) return;
  const bool something = !cancel_.empty() || !drop_values_.empty() || !awaited_.empty();
  const bool expects_news = tasks_here_ != 0 || listens_;
  if (something || (pending_ == 0 && expects_news && owner_.may_receive(*this))) exchange({});
}

void SlaveLink::listen() {
  listens_ = true;
  pump();
}

// --- outcomes in

void SlaveLink::receive(proto::Update::Reader update) {
  acknowledge_ = std::max(acknowledge_, update.getNumber());
  unanswered_beats_ = 0;
  if (update.getDraining() && !std::exchange(draining_, true)) {
    slots_ = 0;
    owner_.link_up(*this, 0);  // what it has comes back; nothing more goes there
  }
  if (update.getSlots() != 0 && !draining_) {
    slots_ = update.getSlots();
    failures_ = 0;
    up_ = true;
    owner_.link_up(*this, slots_);
  }
  for (const auto started : update.getStarted()) owner_.started(*this, started);
  for (const auto output : update.getOutput()) owner_.printed(*this, output);
  for (const auto outcome : update.getOutcomes()) {
    // Its argument is being read, which the result would replace. No honest slave does this, so
    // nothing else that it says counts: what is there runs again elsewhere.
    if (leaving_.count(outcome.getId()) != 0) return break_off("ended a task that it had not got");
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
