#include "objects.h"

#include <knee/error.h>

#include "client/call/task_access.h"
#include "client/driver/failure.h"
#include "client/driver/object_ref.h"
#include "client/driver/python_program.h"
#include "client/driver/slave_link.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

using detail::Access;

/// One message holds the arguments of a call, and is to stay below what a slave takes.
constexpr std::size_t kMostArguments = std::size_t{16} << 20;
/// The news of a process's death follow the end of its calls within this time.
constexpr auto kNewsOfDeath = 5 * kj::SECONDS;

ObjectCall& object_call(detail::TaskState& task) {
  return *static_cast<ObjectCall*>(Access::extra(task).get());
}

}  // namespace

std::uint64_t chain_of(const detail::TaskState& task) {
  if (task.kind != detail::TaskState::Kind::method) return 0;
  return object_call(const_cast<detail::TaskState&>(task)).chain;
}

std::string ObjectCall::label() const {
  if (method != nullptr) return std::string(method->label);
  return use ? use->label() : "start of a Python session";
}

Objects::Home::Home(proto::Home::Client given, std::string slave_name, bool is_python)
    : client(kj::mv(given)),
      slave(std::move(slave_name)),
      python(is_python),
      ended(client.endedRequest()
                .send()
                .then([this](capnp::Response<proto::Home::EndedResults> answer) {
                  outcome = kj::heap(kj::mv(answer));
                })
                .fork()) {}

/// A reference that came with a call of others may be to an object anywhere.
std::string Objects::Open::slave_name() const {
  return home ? home->slave : "";
}

Objects::Objects(kj::Timer& timer, Shipment& shipment, Shipment& python, Surroundings surroundings)
    : timer_(timer),
      shipment_(shipment),
      python_(python),
      surroundings_(std::move(surroundings)),
      doors_{.hold = [this](proto::Object::Client object) -> kj::Promise<detail::ObjectRef> {
               return hold(kj::mv(object));
             },
             .offer = [this](const detail::ObjectRef& object) { return client_of(object); }},
      offering_{.find =
                    [this](proto::Call::Reader call) {
                      return reinterpret_cast<detail::Method::Thunk>(
                          const_cast<void*>(shipment_.find({call.getFile(), call.getOffset()})));
                    },
                .run = surroundings_.run,
                .hold = [this](proto::Object::Client object) { return hold(kj::mv(object)); },
                .offer = doors_.offer,
                .doors = doors_},
      calls_(kj::heap<kj::TaskSet>(*this)) {}

Objects::~Objects() {
  calls_ = nullptr;
  while (!open_.empty()) fail(open_.front(), cancelled_error(*open_.front().task));
  give_up(std::nullopt, [](const detail::TaskState& task) { return cancelled_error(task); });
}

bool Objects::has_session(std::uint32_t slave) const {
  auto* link = surroundings_.link(slave);
  return link != nullptr && link->session() != nullptr;
}

bool Objects::start(detail::TaskRef task) {
  const auto& call = object_call(*task);
  std::uint32_t slave = call.slave;
  if (call.object != ObjectCall::kRoot) {
    const auto found = entries_.find(call.object);
    if (found == entries_.end()) {
      Access::set_error(*task, cancelled_error(*task));
      surroundings_.complete(std::move(task));
      return false;
    }
    slave = found->second.slave;
  }
  slave = surroundings_.settled(slave);
  if (call.returned != 0) {
    Entry& made = entries_[call.returned];
    made.slave = slave;
    made.problem = std::make_shared<std::exception_ptr>();
  }
  Root& root = roots_[slave];
  root.slave = slave;
  const bool is_made =
      call.object != ObjectCall::kRoot && entries_.at(call.object).client != nullptr;
  if (!is_made && (!root.waiting.empty() || !has_session(slave))) {
    root.waiting.push_back(std::move(task));
    return true;
  }
  send(std::move(task));
  return false;
}

void Objects::move(std::uint32_t from, std::uint32_t to) {
  const auto old = roots_.find(from);
  if (old == roots_.end()) return;
  auto waiting = std::move(old->second.waiting);
  roots_.erase(old);
  Root& root = roots_[to];
  root.slave = to;
  std::move(waiting.begin(), waiting.end(), std::back_inserter(root.waiting));
}

void Objects::link_up(std::uint32_t slave) {
  const auto found = roots_.find(slave);
  if (found == roots_.end()) return;
  for (auto& task : std::exchange(found->second.waiting, {})) send(std::move(task));
}

void Objects::link_down(std::uint32_t slave) {
  const auto found = roots_.find(slave);
  if (found == roots_.end()) return;
  found->second.home = nullptr;
  found->second.object = nullptr;
}

void Objects::open(Root& root) {
  auto* link = surroundings_.link(root.slave);
  KJ_IF_MAYBE (session, link->session()) {
    auto opened = session->openHomeRequest().send();
    root.home = std::make_shared<Home>(opened.getHome(), link->name(), false);
    root.object = opened.getRoot();
    // What has died is not called again: the next object is made in a new process.
    calls_->add(root.home->ended.addBranch().then([this, slave = root.slave, home = root.home] {
      Root& place = roots_.at(slave);
      if (place.home != home) return;
      place.home = nullptr;
      place.object = nullptr;
    }));
  }
}

void Objects::send(detail::TaskRef task) {
  const ObjectCall call = object_call(*task);
  const std::uint32_t slave = surroundings_.settled(call.slave);
  Open open_call{std::move(task), nullptr, slave, nullptr, nullptr};
  kj::Maybe<proto::Object::Client> target;
  if (call.opens_python) {
    // It has no home yet.
  } else if (call.object == ObjectCall::kRoot) {
    Root& root = roots_.at(slave);
    if (root.object == nullptr) open(root);
    target = root.object;
    open_call.home = root.home;
  } else {
    // A reference may have been let go while its calls waited for the slave.
    const auto found = entries_.find(call.object);
    if (found != entries_.end()) {
      Entry& entry = found->second;
      target = entry.client;
      open_call.home = entry.home;
      open_call.object_problem = entry.problem;
      open_call.slave = surroundings_.settled(entry.slave);
    }
  }
  if (const auto made = entries_.find(call.returned); made != entries_.end())
    open_call.returned_problem = made->second.problem;
  auto& kept = open_.emplace_back(std::move(open_call));
  kept.self = std::prev(open_.end());
  kept.task->attempt = 1;
  try {
    if (call.opens_python) return open_python(kept, call);
    KJ_IF_MAYBE (object, target) {
      if (call.use)
        send_use(kept, *object, call);
      else
        send_call(kept, *object, call);
    } else if (kept.object_problem && *kept.object_problem) {
      fail(kept, *kept.object_problem);  // what was to make the object was not even sent
    } else {
      fail(kept, lost_slave_error(*kept.task, kept.slave_name(), "it has no session any more"));
    }
  } catch (...) {
    fail(kept, std::current_exception());
  }
}

void Objects::send_call(Open& kept, proto::Object::Client object, const ObjectCall& call) {
  auto& arguments = Access::payload(*kept.task);
  if (arguments.size() > kMostArguments)
    throw Error(Error::Kind::usage, "the arguments of a call on an object may take 16 MiB");
  const auto known = places_.find(call.method);
  const auto place = known != places_.end()
                         ? known->second
                         : shipment_.locate(reinterpret_cast<const void*>(call.method->thunk));
  places_.emplace(call.method, place);
  auto request = object.callRequest(
      capnp::MessageSize{arguments.size() / sizeof(capnp::word) + 32 + call.objects.size(),
                         static_cast<unsigned>(call.objects.size())});
  auto wire = request.initCall();
  wire.setFile(place.file);
  wire.setOffset(place.offset);
  wire.setArguments(
      kj::arrayPtr(reinterpret_cast<const kj::byte*>(arguments.data()), arguments.size()));
  arguments.clear();
  wire.setChain(call.chain);
  auto objects = wire.initObjects(static_cast<unsigned>(call.objects.size()));
  for (unsigned i = 0; i < objects.size(); ++i) objects.set(i, client_of(call.objects[i]));
  auto sent = request.send();
  made(call.returned, sent.getObject(), kept.home);
  calls_->add(sent.then(
      [this, &kept](capnp::Response<proto::Object::CallResults> answer) {
        answered(kept, answer.getResult());
        return kj::Promise<void>(kj::READY_NOW);
      },
      [this, &kept](kj::Exception&& error) { return broken(kept, error); }));
}

void Objects::made(std::uint64_t returned, proto::Object::Client object,
                   const std::shared_ptr<Home>& home) {
  const auto found = entries_.find(returned);
  if (found == entries_.end()) return;  // it is wanted no more, or there is none
  found->second.client = kj::mv(object);
  found->second.home = home;
}

proto::Object::Client Objects::client_of(const detail::ObjectRef& object) {
  if (const auto id = held_id(*object)) {
    const auto found = entries_.find(*id);
    if (found != entries_.end())
      KJ_IF_MAYBE (client, found->second.client) return *client;
    throw Error(Error::Kind::usage, "an argument refers to an object that is not there yet");
  }
  return kj::heap<OfferedObject>(offering_, object);
}

detail::ObjectRef Objects::hold(proto::Object::Client object, std::shared_ptr<Home> home) {
  auto [reference, id] = surroundings_.new_reference(0);
  Entry& entry = entries_[id];
  entry.client = kj::mv(object);
  entry.problem = std::make_shared<std::exception_ptr>();
  entry.home = std::move(home);
  return reference;
}

void Objects::answered(Open& call, proto::CallResult::Reader result) {
  if (result.isException()) return fail_by_failure(call, result.getException());
  const auto bytes = result.getValue();
  auto& payload = Access::payload(*call.task);
  payload.clear();
  payload.append(bytes.begin(), bytes.size());
  finish(call);
}

void Objects::fail_by_failure(Open& call, proto::Failure::Reader failure) {
  capnp::MallocMessageBuilder message;
  auto outcome = message.initRoot<proto::Outcome>();
  outcome.setException(failure);
  fail(call, error_of(*call.task, outcome, call.slave_name(), {}));
}

kj::Promise<void> Objects::broken(Open& call, const kj::Exception& error) {
  if (call.object_problem && *call.object_problem) {
    fail(call, *call.object_problem);
    return kj::READY_NOW;
  }
  const std::string why = rpc::text_of(error);
  const std::string slave = call.slave_name();
  if (error.getType() != kj::Exception::Type::DISCONNECTED) {
    fail(call, refused_error(*call.task, slave, why));
    return kj::READY_NOW;
  }
  if (!has_session(call.slave) || !call.home) {
    fail(call, lost_slave_error(*call.task, slave, why));
    return kj::READY_NOW;
  }
  // Its process has died; the slave says how.
  const auto home = call.home;
  return home->ended.addBranch()
      .exclusiveJoin(timer_.afterDelay(kNewsOfDeath))
      .catch_([](kj::Exception&&) {})
      .then([this, &call, home, why] {
        KJ_IF_MAYBE (end, home->outcome) {
          const auto outcome = (*end)->getOutcome();
          fail(call, home->python ? python_end_error(*call.task, outcome, home->slave)
                                  : error_of(*call.task, outcome, home->slave, {}));
        } else {
          fail(call, lost_slave_error(*call.task, home->slave, why));
        }
      });
}

void Objects::fail(Open& call, std::exception_ptr error) {
  if (call.returned_problem) *call.returned_problem = error;
  Access::set_error(*call.task, std::move(error));
  finish(call);
}

void Objects::finish(Open& call) {
  auto task = std::move(call.task);
  open_.erase(call.self);
  surroundings_.complete(std::move(task));
}

void Objects::give_up(std::optional<std::uint32_t> slave,
                      const std::function<std::exception_ptr(const detail::TaskState&)>& error) {
  for (auto& [index, root] : roots_) {
    if (slave && index != *slave) continue;
    for (auto& task : std::exchange(root.waiting, {})) {
      Access::set_error(*task, error(*task));
      surroundings_.complete(std::move(task));
    }
  }
}

bool Objects::waits_for(std::uint32_t slave) const {
  const auto found = roots_.find(slave);
  return found != roots_.end() && !found->second.waiting.empty();
}

void Objects::drop(const std::vector<std::uint64_t>& ids) {
  for (const auto id : ids) entries_.erase(id);
}

kj::Promise<std::uint64_t> Objects::count(std::uint32_t slave) {
  const auto found = roots_.find(surroundings_.settled(slave));
  if (found == roots_.end() || !found->second.home) return std::uint64_t{0};
  return found->second.home->client.countRequest().send().then(
      [](capnp::Response<proto::Home::CountResults> answer) { return answer.getObjects(); });
}

void Objects::taskFailed(kj::Exception&&) {}

}  // namespace knee::driver
