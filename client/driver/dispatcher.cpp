#include "dispatcher.h"

#include <kj/debug.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "client/call/task_access.h"
#include "client/config/resolve.h"
#include "client/driver/command_job.h"
#include "client/driver/counted.h"
#include "client/driver/failure.h"
#include "client/driver/function_call.h"
#include "client/driver/object_ref.h"
#include "client/driver/python_program.h"
#include "client/driver/session_id.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

using detail::Access;
using Clock = std::chrono::steady_clock;

}  // namespace

Dispatcher::Dispatcher(Driver& driver, kj::AsyncIoContext& io)
    : driver_(driver),
      io_(io),
      console_(driver.console()),
      shipment_(driver.disk(), driver.options().ship),
      python_(driver.disk(), [] { return program::describe_native(find_knee_python()); }),
      input_files_(driver.disk()),
      background_(kj::heap<kj::TaskSet>(*this)) {
  objects_ = std::make_unique<Objects>(
      io_.provider->getTimer(), shipment_, python_,
      Objects::Surroundings{
          .link =
              [this](std::uint32_t index) {
                return index < id_of_.size() ? link_of(id_of_[index]) : nullptr;
              },
          .settled =
              [this](std::uint32_t index) {
                return index < id_of_.size() ? driver::slave_index(id_of_[index]) : index;
              },
          .complete =
              [this](detail::TaskRef task) {
                complete(std::move(task));
                flush_completions();
              },
          // What was offered is let go of when this has ended.
          .run = [&driver](const Caller& caller,
                           std::function<void()> run) { driver.post_call(caller, std::move(run)); },
          .check =
              [this](const detail::ObjectRef& object) {
                driver_.object_owner().check(std::vector{object});
              },
          .fail = [this](detail::TaskState& task,
                         std::exception_ptr why) { fail_running(task, std::move(why)); },
          .held_up = [this] { return driver_.callbacks().held_up(); },
          .new_reference =
              [this](std::uint32_t slave) { return driver_.object_owner().add(slave); }});
  const auto& options = driver.options();
  for (const auto& text : options.slaves) {
    const auto address = rpc::Address::parse(text);
    add_link(dial(address, io_), text);
  }
  if (config::uses_tcp(options))
    console_.say(
        "warning: insecure: whoever can reach these TCP connections may run programs here "
        "and there");
  const bool alone = options.slaves.empty() && options.listen.empty();
  if (alone || options.local) add_link(local_slave(options.slots, io_), "local");
  if (!options.listen.empty()) {
    auto place = kj::heap<MeetingPlace>(
        io_, [this](Connected connected) { joined(kj::mv(connected)); },
        [this](std::string line) { console_.say(std::move(line)); });
    meeting_place_ = kj::mv(place);
  }
  background_->add(watch_for_trouble());
}

kj::Promise<void> Dispatcher::listen() {
  kj::Vector<kj::Promise<void>> begun;
  KJ_IF_MAYBE (place, meeting_place_) {
    for (const auto& text : driver_.options().listen)
      begun.add((*place)->listen(rpc::Address::parse(text)));
  }
  return kj::joinPromises(begun.releaseAsArray());
}

Dispatcher::~Dispatcher() {
  // Everything that still waits ends as cancelled; its callbacks run before the callback thread
  // ends.
  for (auto& task : tasks_) {
    if (!task) continue;
    const auto id = TaskId::unpack(task->id);
    const auto* link = link_of(scheduler_.cancel(id).slaves[0]);
    fail(id, cancelled_error(*task, link != nullptr ? link->name() : ""));
  }
  objects_ = nullptr;
  flush_completions();
  turn_promise_ = nullptr;
  alarm_ = nullptr;
  background_ = nullptr;
  meeting_place_ = nullptr;
  links_.clear();
}

// --- slaves

void Dispatcher::add_link(kj::Own<Connector> connector, const std::string& name) {
  const std::uint32_t index = slave_index(name);
  const auto id = names_.at(name);
  KJ_REQUIRE(!links_[index], "two slaves have the same name", name.c_str());
  auto* program = driver_.options().commands_only ? nullptr : &shipment_;
  links_[index] =
      std::make_unique<SlaveLink>(*this, io_, program, input_files_, kj::mv(connector), id, name,
                                  driver_.options().heartbeat.count() * kj::NANOSECONDS);
  links_[index]->start();
}

std::uint32_t Dispatcher::slave_index(const std::string& name) {
  const auto known = names_.find(name);
  if (known != names_.end()) return driver::slave_index(known->second);
  SlaveFacts away;
  away.slots = 0;
  const SlaveId id = scheduler_.add_slave(away, Clock::now());
  names_.emplace(name, id);
  const std::uint32_t index = driver::slave_index(id);
  if (links_.size() <= index) {
    links_.resize(index + 1);
    id_of_.resize(index + 1, kNoSlave);
  }
  id_of_[index] = id;
  return index;
}

void Dispatcher::joined(Connected connected) {
  const std::string name = connected.name;
  auto& connector = joined_[name];
  if (connector == nullptr) {
    const auto known = names_.find(name);
    if (known != names_.end() && links_[driver::slave_index(known->second)])
      throw std::runtime_error("another slave of this driver is named '" + name +
                               "': give one of them a --name");
    auto fresh = kj::heap<JoinedSlave>(name);
    connector = fresh.get();
    add_link(kj::mv(fresh), name);
  }
  if (!connector->offer(kj::mv(connected)))
    throw std::runtime_error("a slave named '" + name +
                             "' is here already: give one of them a --name");
}

void Dispatcher::link_named(SlaveLink& link, const std::string& own_name) {
  if (own_name == link.name()) return;
  const auto known = names_.find(own_name);
  const auto mine = driver::slave_index(link.id());
  if (known == names_.end()) {
    names_.emplace(own_name, link.id());
  } else {
    const auto other = driver::slave_index(known->second);
    // Two with one name, as two slaves of one host have: both go by their addresses.
    if (other == mine || links_[other]) return;
    // Tasks were called for it by that name before it was known to be this one.
    known->second = link.id();
    move_pinned(other, mine);
  }
  link.rename(own_name);
}

void Dispatcher::move_pinned(std::uint32_t from, std::uint32_t to) {
  id_of_[from] = id_of_[to];
  objects_->move(from, to);
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (!tasks_[i] || tasks_[i]->pinned != from) continue;
    scheduler_.cancel(TaskId::unpack(tasks_[i]->id));
    auto task = std::move(tasks_[i]);
    task->pinned = to;
    accept(std::move(task));
  }
}

SlaveLink* Dispatcher::link_of(SlaveId id) {
  const auto index = driver::slave_index(id);
  return id != kNoSlave && index < links_.size() ? links_[index].get() : nullptr;
}

std::vector<std::string> Dispatcher::slave_names() const {
  std::vector<std::string> names;
  for (const auto& link : links_)
    if (link && link->is_up()) names.push_back(link->name());
  return names;
}

unsigned Dispatcher::slots() const {
  unsigned slots = 0;
  for (const auto& link : links_)
    if (link && link->is_up()) slots += link->slots();
  return slots;
}

kj::Promise<std::shared_ptr<std::vector<SlaveInfo>>> Dispatcher::survey_all(
    std::optional<std::uint32_t> index, std::chrono::nanoseconds patience) {
  std::vector<std::shared_ptr<SlaveInfo>> infos;
  kj::Vector<kj::Promise<void>> surveys;
  for (std::uint32_t i = 0; i < links_.size(); ++i) {
    if (!links_[i] || (index && links_[i]->id() != id_of_[*index])) continue;
    infos.push_back(std::make_shared<SlaveInfo>());
    surveys.add(survey(*links_[i], io_.provider->getTimer(), patience, infos.back()));
  }
  return kj::joinPromises(surveys.releaseAsArray()).then([infos = std::move(infos)] {
    auto all = std::make_shared<std::vector<SlaveInfo>>();
    for (const auto& info : infos) all->push_back(*info);
    return all;
  });
}

void Dispatcher::link_up(SlaveLink& link, std::uint32_t slots) {
  SlaveFacts facts;
  facts.slots = slots;
  facts.end = link.end();
  scheduler_.update_slave(link.id(), facts, Clock::now());
  objects_->link_up(driver::slave_index(link.id()));
  turn_soon();
}

void Dispatcher::link_down(SlaveLink& link, const std::string& why) {
  std::vector<EndedTask> gone;
  const auto sent = scheduler_.totals().sent;
  scheduler_.lose_slave(link.id(), Clock::now(), gone);
  if (const auto held = sent - scheduler_.totals().sent; held > gone.size())
    console_.say("slave " + link.name() + " is lost: " + why + "; " +
                 counted(held - gone.size(), "task waits", "tasks wait") + " for another start");
  objects_->link_down(driver::slave_index(link.id()));
  fractions_.clear();  // those of others will say it again
  ended(gone, link.name(), why);
  if (const auto problem = hopeless(); !problem.empty()) give_up(problem);
  flush_completions();
  turn_soon();
}

void Dispatcher::give_up(const std::string& why) {
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (!tasks_[i]) continue;
    const auto id = TaskId::unpack(tasks_[i]->id);
    scheduler_.cancel(id);
    fail(id, unshippable_error(*tasks_[i], why));
  }
  objects_->give_up(std::nullopt,
                    [&](const detail::TaskState& task) { return unshippable_error(task, why); });
}

kj::Vector<proto::Object::Client> Dispatcher::lend(detail::TaskState& task) {
  auto& call = *function_call(task);
  revoke_loans(task, "the attempt it was given to has ended");
  call.lending = kj::refcounted<Lending>();
  call.watched = false;
  kj::Vector<proto::Object::Client> lent;
  for (const auto& object : call.objects)
    lent.add(capnp::membrane(objects_->client_of(object, call.lending->holds()),
                             call.lending->addRef()));
  return lent;
}

void Dispatcher::fill_session(proto::SessionRequest::Builder request) {
  const auto& options = driver_.options();
  request.setId(new_session_id());
  auto arguments = request.initArguments(static_cast<unsigned>(options.arguments.size()));
  for (unsigned i = 0; i < arguments.size(); ++i) arguments.set(i, options.arguments[i]);
  auto environment = request.initEnvironment(static_cast<unsigned>(options.environment.size()));
  for (unsigned i = 0; i < environment.size(); ++i) environment.set(i, options.environment[i]);
}

// --- tasks in

void Dispatcher::submissions() {
  driver_.take_submissions(submitted_);
  for (auto& task : submitted_) accept(std::move(task));
  submitted_.clear();
  if (const auto problem = hopeless(); !problem.empty()) {
    give_up(problem);
    flush_completions();
  }
  turn_soon();
}

void Dispatcher::accept(detail::TaskRef task) {
  if (task->kind == detail::TaskState::Kind::method) {
    if (objects_->start(std::move(task))) waits_for_name_ = true;  // perhaps nobody has that name
    return;
  }
  TaskFacts facts;
  const auto* function = Access::function(*task);
  facts.kind = function != nullptr ? detail::function_index(*function) : 0;
  facts.argument_bytes = Access::payload(*task).size();
  facts.cores = task->cores;
  facts.attempts = task->attempts;
  facts.retry_timeouts = task->retry_timeouts;
  facts.repeatable = task->repeatable;
  if (task->pinned != UINT32_MAX) {
    facts.pinned = id_of_[task->pinned];
    waits_for_name_ = waits_for_name_ || link_of(facts.pinned) == nullptr;
  }
  const TaskId id = scheduler_.submit(facts);
  task->id = id.packed();
  if (tasks_.size() <= id.index)
    tasks_.resize(std::max<std::size_t>(id.index + 1, 2 * tasks_.size()));
  tasks_[id.index] = std::move(task);
}

detail::TaskState* Dispatcher::find(std::uint64_t id) {
  const auto index = TaskId::unpack(id).index;
  if (index >= tasks_.size() || !tasks_[index] || tasks_[index]->id != id) return nullptr;
  return tasks_[index].get();
}

void Dispatcher::turn_soon() {
  if (std::exchange(turn_planned_, true)) return;
  turn_promise_ = kj::evalLater([this] { turn(); }).eagerlyEvaluate(nullptr);
}

void Dispatcher::turn() {
  turn_planned_ = false;
  if (waits_for_name_) refuse_unknown_names();
  const Time now = Clock::now();
  // A slave answers the exchange that brings it tasks: who wants no results sends none.
  if (!congested())
    while (const auto slave = scheduler_.next_ready(now)) send_to(*slave);
  std::vector<TakeBack> requests;
  scheduler_.take_backs(now, requests);
  for (const auto& request : requests)
    if (auto* link = link_of(request.slave)) link->take_back(request.count);
  std::vector<SlaveEvent> events;
  scheduler_.take_events(events);
  for (const auto& event : events)
    if (const auto* link = link_of(event.slave)) console_.say(describe(event, link->name()));
  for (const auto& link : links_)
    if (link) link->pump();
  const auto totals = scheduler_.totals();
  driver_.set_wants_tasks(totals.queued < totals.slots + totals.sent / 4);
  set_alarm();
}

void Dispatcher::send_to(SlaveId slave) {
  // The attempts whose results are on their way end later, and wake it.
  if (!has_room_for_results_of(slave)) return scheduler_.rest(slave);
  batch_.clear();
  scheduler_.take(slave, Clock::now(), batch_);
  if (auto* link = link_of(slave)) send_batch(*link);
}

void Dispatcher::send_batch(SlaveLink& link) {
  sending_.clear();
  for (const auto id : batch_) {
    auto* task = tasks_[id.index].get();
    ++task->attempt;
    if (is_command(*task)) command_job(*task).started = false;
    sending_.push_back(task);
  }
  constexpr std::size_t kBatch = 4096;
  for (std::span<detail::TaskState* const> rest(sending_); !rest.empty();) {
    const auto part = rest.first(std::min(kBatch, rest.size()));
    link.send(part);
    rest = rest.subspan(part.size());
  }
}

void Dispatcher::set_alarm() {
  const auto now = Clock::now();
  // While nothing is given out, what is due stays due: a turn comes first.
  const auto next = congested() ? std::nullopt : scheduler_.next_deadline(now);
  if (next == alarm_at_) return;
  alarm_at_ = next;
  alarm_ = nullptr;
  if (!next) return;
  const auto delay = std::max(std::chrono::nanoseconds(*next - now), std::chrono::nanoseconds(0));
  alarm_ = io_.provider->getTimer()
               .afterDelay(delay.count() * kj::NANOSECONDS)
               .then([this] {
                 alarm_at_.reset();
                 turn_soon();
               })
               .eagerlyEvaluate(nullptr);
}

// --- cancelling

void Dispatcher::cancel(std::uint64_t id) {
  auto* task = find(id);
  if (task == nullptr) return;
  const auto cancellation = scheduler_.cancel(TaskId::unpack(id));
  switch (cancellation.found) {
    case Cancellation::Found::dropped:
      fail(TaskId::unpack(id), cancelled_error(*task));
      break;
    case Cancellation::Found::sent:
      cancelling_.insert(id);
      revoke_loans(*task, "the task it was given to was cancelled");
      for (const auto slave : cancellation.slaves)
        if (auto* link = link_of(slave))
          link->cancel(id, static_cast<std::uint64_t>(driver_.options().cancel_grace.count()));
      break;
    case Cancellation::Found::gone:
      break;
  }
  flush_completions();
  turn_soon();
}

void Dispatcher::fail_running(const detail::TaskState& task, std::exception_ptr why) {
  auto* running = find(task.id);
  if (running != &task) return;
  if (auto* call = function_call(*running)) call->failed = std::move(why);
  cancel(task.id);
}

void Dispatcher::start_awaited(const detail::TaskState& task) {
  if (find(task.id) != &task) return;  // it has ended, or is a call on an object
  batch_.clear();
  const auto slave = scheduler_.start_awaited(TaskId::unpack(task.id), Clock::now(), batch_);
  auto* link = slave ? link_of(*slave) : nullptr;
  if (link == nullptr) return;
  send_batch(*link);
  link->start_awaited(task.id);
  turn_soon();
}

void Dispatcher::cancel_bag(const detail::BagState* bag) {
  for (std::size_t i = 0; i < tasks_.size(); ++i)
    if (tasks_[i] && Access::bag(*tasks_[i]) == bag) cancel(tasks_[i]->id);
}

void Dispatcher::signal(std::uint64_t id, int number) {
  auto* task = find(id);
  if (task == nullptr || !is_command(*task)) return;
  auto& job = command_job(*task);
  auto* link = link_of(job.runs_on);
  if (link != nullptr && link->is_up() && link->session_number() == job.session)
    return link->signal(id, number);
  std::erase(job.signals, number);
  job.signals.push_back(number);
}

Standing Dispatcher::standing() const {
  const auto totals = scheduler_.totals();
  Standing standing;
  standing.running = scheduler_.running();
  standing.waiting = totals.queued + totals.sent - standing.running;
  standing.slaves = slave_names().size();
  standing.remaining = scheduler_.remaining_time();
  for (const auto& [task, fraction] : fractions_) standing.fractions.push_back(fraction);
  return standing;
}

void Dispatcher::taskFailed(kj::Exception&& error) {
  console_.say(rpc::text_of(error));
}

}  // namespace knee::driver
