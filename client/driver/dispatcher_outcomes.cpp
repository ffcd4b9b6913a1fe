// Dispatcher: what comes back from the slaves, and on to whoever waits for it.

#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include "client/call/task_access.h"
#include "client/driver/command_wire.h"
#include "client/driver/dispatcher.h"
#include "client/driver/failure.h"
#include "client/driver/function_call.h"
#include "client/driver/lent_task.h"
#include "client/driver/objects.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

using detail::Access;
using Clock = std::chrono::steady_clock;

/// Of large results on their way, in bytes. While one more is fetched the next tasks compute.
constexpr std::uint64_t kMostFetching = std::uint64_t{128} * 1024 * 1024;

/// Of output that waits for the console, in bytes, while something that was cancelled has not
/// ended: its end comes behind what its slave has kept of output, some 5 MiB, and a stdout that
/// nobody reads should not keep it from the user. What goes on printing may use it up.
constexpr std::size_t kMostPrintedToCancel = std::size_t{64} * 1024 * 1024;

/// Whether an attempt that was sent has ended before it started.
bool never_ran(Duration run_time, AttemptEnd end) {
  return end == AttemptEnd::given_back || end == AttemptEnd::lost_uncharged ||
         (end == AttemptEnd::cancelled && run_time == Duration(0));
}

}  // namespace

void Dispatcher::outcome(SlaveLink& link, proto::Outcome::Reader outcome) {
  auto* task = find(outcome.getId());
  if (task == nullptr) {
    forget_loser(link, outcome.getId(), Duration(outcome.getRunTime()), end_of(outcome));
    for (const auto value : values_of(outcome)) link.drop_value(value);
    return;
  }
  settle(link, *task, outcome, end_of(outcome));
}

void Dispatcher::settle(SlaveLink& link, detail::TaskState& task, proto::Outcome::Reader outcome,
                        AttemptEnd end) {
  if (outcome.isCommandEnded() && is_command(task)) return settle_command(link, task, outcome);
  if (outcome.isValue() && outcome.getValue().isValue()) return settle_large(link, task, outcome);
  const bool might_lack_inputs = outcome.isRefused() || outcome.isNotStarted();
  if (might_lack_inputs && is_command(task)) link.forget_inputs(command_job(task));
  if (never_ran(Duration(outcome.getRunTime()), end))
    task.attempt = static_cast<std::uint16_t>(task.attempt - 1);
  if (!conclude(link, task, Duration(outcome.getRunTime()), end)) return;
  const auto id = TaskId::unpack(task.id);
  if (!outcome.isValue()) return fail(id, error_of(task, outcome, link.name(), link.cpu_flags()));
  const auto bytes = outcome.getValue().getInline();
  auto& payload = Access::payload(task);
  payload.clear();
  payload.append(bytes.begin(), bytes.size());
  deliver(id);
}

/// The twin that lost: the task has been delivered, but the scheduler still counts it there.
void Dispatcher::forget_loser(SlaveLink& link, std::uint64_t task, Duration run_time,
                              AttemptEnd end) {
  scheduler_.finished(TaskId::unpack(task), link.id(), run_time, end, Clock::now());
}

bool Dispatcher::conclude(SlaveLink& link, detail::TaskState& task, Duration run_time,
                          AttemptEnd end) {
  const auto id = TaskId::unpack(task.id);
  if (!fractions_.empty()) fractions_.erase(task.id);
  const Verdict verdict = scheduler_.finished(id, link.id(), run_time, end, Clock::now());
  if (verdict.action != Verdict::Action::deliver) {
    if (is_command(task) && command_job(task).runs_on == link.id()) {
      command_job(task).runs_on = kNoSlave;
      command_job(task).started = false;
    }
    return false;
  }
  if (auto* loser = link_of(verdict.loser)) loser->cancel(task.id, 0);
  if (verdict.end != AttemptEnd::cancelled) return true;
  fail(id, cancelled_error(task, never_ran(run_time, end) ? "" : link.name()));
  return false;
}

/// A large result on its way. The attempt has ended when it is here: if its slave is lost before,
/// the task runs again.
struct Dispatcher::Fetch {
  Fetch(Dispatcher& dispatcher, const SlaveLink& link, const detail::TaskState& task,
        proto::Outcome::Reader outcome)
      : dispatcher(dispatcher),
        slave(link.id()),
        id(task.id),
        run_time(outcome.getRunTime()),
        values(values_of(outcome)) {}
  ~Fetch() {
    dispatcher.fetching_ -= bytes;
    if (is_counted) --dispatcher.fetches_of(slave);
  }
  void expect(std::uint64_t more) {
    if (!std::exchange(is_counted, true)) ++dispatcher.fetches_of(slave);
    bytes += more;
    dispatcher.fetching_ += more;
  }

  Dispatcher& dispatcher;
  const SlaveId slave;
  const std::uint64_t id;
  const Duration run_time;
  const std::vector<std::uint64_t> values;  ///< what the slave keeps until it is fetched or dropped
  std::uint64_t bytes = 0;
  bool is_counted = false;
  detail::Bytes value;
  CommandResult command;
};

void Dispatcher::settle_large(SlaveLink& link, detail::TaskState& task,
                              proto::Outcome::Reader outcome) {
  auto fetch = std::make_shared<Fetch>(*this, link, task, outcome);
  const auto payload = outcome.getValue();
  fetch->expect(payload.getSize());
  auto fetched =
      kj::evalNow([&] { return link.fetch(payload.getValue(), payload.getSize(), fetch->value); });
  when_fetched(kj::mv(fetched), link, fetch, [this, fetch](detail::TaskState& one) {
    Access::payload(one) = std::move(fetch->value);
    deliver(TaskId::unpack(one.id));
  });
}

void Dispatcher::settle_command(SlaveLink& link, detail::TaskState& task,
                                proto::Outcome::Reader outcome) {
  auto fetch = std::make_shared<Fetch>(*this, link, task, outcome);
  const auto large = take_result(outcome.getCommandEnded(), fetch->command);
  const auto finish = [this, fetch, name = link.name()](detail::TaskState& one) {
    auto& result = command_job(one).result = std::move(fetch->command);
    result.slave = name;
    result.run_time = fetch->run_time;
    deliver(TaskId::unpack(one.id));
  };
  if (large.empty()) {
    if (conclude(link, task, fetch->run_time, AttemptEnd::value)) finish(task);
    return;
  }
  kj::Promise<void> fetched = kj::READY_NOW;
  for (const auto& part : large) {
    fetch->expect(part.size);
    fetched = fetched.then([&link, part] { return link.fetch(part.value, part.size, *part.into); });
  }
  when_fetched(kj::mv(fetched), link, fetch, finish);
}

template <class Finish>
void Dispatcher::when_fetched(kj::Promise<void> fetched, SlaveLink& link,
                              std::shared_ptr<Fetch> fetch, Finish finish) {
  link.keep(fetched.then(
      [this, &link, fetch, finish]() -> kj::Promise<void> {
        auto* task = find(fetch->id);
        if (task == nullptr)
          forget_loser(link, fetch->id, fetch->run_time, AttemptEnd::value);
        else if (conclude(link, *task, fetch->run_time, AttemptEnd::value))
          finish(*task);
        link_progressed(link);
        return kj::READY_NOW;
      },
      [this, &link, fetch](kj::Exception&& error) -> kj::Promise<void> {
        if (error.getType() == kj::Exception::Type::DISCONNECTED) return kj::mv(error);
        // What stays at the slave takes room from results to come, until it reads no more of them.
        for (const auto value : fetch->values) link.drop_value(value);
        auto* task = find(fetch->id);
        if (task == nullptr)
          forget_loser(link, fetch->id, fetch->run_time, AttemptEnd::value);
        else if (conclude(link, *task, fetch->run_time, AttemptEnd::crashed))
          fail(TaskId::unpack(fetch->id),
               lost_result_error(*task, link.name(), rpc::text_of(error)));
        link_progressed(link);
        return kj::READY_NOW;
      }));
}

void Dispatcher::deliver(TaskId id) {
  if (!cancelling_.empty()) cancelling_.erase(id.packed());
  complete(std::move(tasks_[id.index]));
}

void Dispatcher::fail(TaskId id, std::exception_ptr error) {
  Access::set_error(*tasks_[id.index], std::move(error));
  deliver(id);
}

void Dispatcher::complete(detail::TaskRef task) {
  driver_.count_ended();
  revoke_loans(*task, "the task it was given to has ended");
  if (const auto* call = function_call(*task); call != nullptr && call->failed)
    Access::set_error(*task, call->failed);
  // What the user's functions hold ends where they run, since its destructors may wait.
  if (auto arguments = take_arguments_of(*task))
    driver_.post_call({}, [arguments = std::move(arguments)] {});
  driver::complete(std::move(task), callbacks_, ended_);
}

void Dispatcher::ended(const std::vector<EndedTask>& tasks, const std::string& slave,
                       const std::string& why) {
  for (const auto& task : tasks) {
    auto& state = *tasks_[task.task.index];
    fail(task.task, task.end == AttemptEnd::cancelled ? cancelled_error(state, slave)
                                                      : lost_slave_error(state, slave, why));
  }
}

void Dispatcher::flush_completions() {
  driver_.callbacks().post(callbacks_);
  ended_.flush();
}

void Dispatcher::started(SlaveLink& link, proto::Started::Reader started) {
  auto* task = find(started.getId());
  if (task == nullptr) return;
  if (is_command(*task)) command_started(link, *task);
  scheduler_.started(TaskId::unpack(started.getId()), link.id(), Clock::now());
  if (auto* call = function_call(*task);
      call != nullptr && call->lending.get() != nullptr && !std::exchange(call->watched, true))
    objects_->circles().watch(std::make_shared<LentTask>(link, task->id, call->lending->holds()));
  if (started.getProgress() >= 0) fractions_[started.getId()] = started.getProgress();
}

void Dispatcher::command_started(SlaveLink& link, detail::TaskState& task) {
  auto& job = command_job(task);
  job.runs_on = link.id();
  job.session = link.session_number();
  job.started = true;
  for (const int number : std::exchange(job.signals, {})) link.signal(task.id, number);
  if (job.live_input && job.live_input->begin_feeding()) link.feed(task.id, job.live_input);
}

void Dispatcher::printed(SlaveLink& link, proto::OutputText::Reader output) {
  const auto bytes = output.getText();
  std::string text(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  auto* task = find(output.getId());
  // News of its start come only when it has run for a while.
  if (task != nullptr && is_command(*task)) command_job(*task).started = true;
  if (task != nullptr && is_command(*task) &&
      command_job(*task).command.output == Command::Output::pass) {
    console_.pass(output.getError(), std::move(text));
    // As it would hear of it from a pipe of its own.
    if (console_.reader_gone(output.getError())) link.signal(task->id, SIGPIPE);
    return;
  }
  std::string prefix = "[" + link.name() + ":" + std::to_string(output.getSlot());
  if (task != nullptr) prefix += " " + Access::name(*task);
  console_.print(output.getError(), prefix + "] ", std::move(text));
}

void Dispatcher::take_back_answered(SlaveLink& link, std::uint32_t given_back) {
  scheduler_.take_back_done(link.id(), given_back, Clock::now());
}

void Dispatcher::note(SlaveLink& link, const std::string& text) {
  console_.say(link.name() + ": " + text);
}

void Dispatcher::delayed(SlaveLink& link, std::uint64_t task) {
  scheduler_.delayed(TaskId::unpack(task), link.id());
}

void Dispatcher::left(SlaveLink& link, std::uint64_t task) {
  scheduler_.left(TaskId::unpack(task), link.id(), Clock::now());
}

void Dispatcher::unsent(SlaveLink& link, detail::TaskState& task, AttemptEnd end,
                        const std::string& why) {
  const auto id = TaskId::unpack(task.id);
  if (find(task.id) != &task) {
    forget_loser(link, task.id, Duration(0), AttemptEnd::cancelled);
    return turn_soon();
  }
  // What cannot be sent at all ends a task, unless another attempt has had it already.
  if (end == AttemptEnd::exception && scheduler_.has_twin(id)) end = AttemptEnd::crashed;
  const Verdict verdict = scheduler_.finished(id, link.id(), Duration(0), end, Clock::now());
  if (end == AttemptEnd::cancelled) task.attempt = static_cast<std::uint16_t>(task.attempt - 1);
  if (verdict.action == Verdict::Action::deliver)
    fail(id, verdict.end == AttemptEnd::cancelled ? cancelled_error(task)
                                                  : unsent_error(task, link.name(), why));
  flush_completions();
  turn_soon();
}

void Dispatcher::link_progressed(SlaveLink&) {
  flush_completions();
  turn_soon();
}

bool Dispatcher::may_receive(SlaveLink& link) {
  if (!has_room_for_results_of(link.id()) || driver_.congested()) return false;
  return !is_console_full() || (!cancelling_.empty() && console_.waiting() < kMostPrintedToCancel);
}

bool Dispatcher::congested() {
  return driver_.congested() || is_console_full();
}

bool Dispatcher::is_console_full() {
  if (console_is_full_) return true;
  if (console_.waiting() <= Console::kMostWaiting) return false;
  console_is_full_ = true;
  const auto when_relieved = [this](auto tell) { console_.when_relieved(std::move(tell)); };
  background_->add(rpc::offload(when_relieved, [] {}).then([this] {
    console_is_full_ = false;
    turn_soon();
  }));
  return true;
}

/// One of each slave always: those of a slow one must not stop the others.
bool Dispatcher::has_room_for_results_of(SlaveId slave) {
  return fetching_ < kMostFetching || fetches_of(slave) == 0;
}

std::uint32_t& Dispatcher::fetches_of(SlaveId slave) {
  const auto index = driver::slave_index(slave);
  if (fetches_.size() <= index) fetches_.resize(index + 1);
  return fetches_[index];
}

void Dispatcher::resume() {
  turn_soon();
}

}  // namespace knee::driver
