#include "objects.h"

#include <kj/debug.h>
#include <knee/error.h>

#include <algorithm>

#include "client/call/task_access.h"
#include "client/driver/failure.h"
#include "client/driver/function_call.h"
#include "client/driver/object_ref.h"
#include "client/driver/python_program.h"
#include "client/driver/slave_link.h"
#include "common/rpc/process_end.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

using detail::Access;

/// The news of a process's death follow the end of its calls within this time.
constexpr auto kNewsOfDeath = 5 * kj::SECONDS;
/// The same if the error says already that some process has ended.
constexpr auto kMoreNews = 1 * kj::SECONDS;

std::exception_ptr thrown_error(const detail::TaskState& task, proto::Failure::Reader thrown,
                                const std::string& slave) {
  capnp::MallocMessageBuilder message;
  auto outcome = message.initRoot<proto::Outcome>();
  outcome.setException(thrown);
  return error_of(task, outcome, slave, {});
}

}  // namespace

ObjectCall& object_call(detail::TaskState& task) {
  return *static_cast<ObjectCall*>(Access::extra(task).get());
}

std::shared_ptr<const void> take_arguments_of(detail::TaskState& task) {
  if (auto* call = function_call(task)) {
    if (call->objects.empty()) return nullptr;
    return std::make_shared<std::vector<detail::ObjectRef>>(std::move(call->objects));
  }
  if (task.kind != detail::TaskState::Kind::method) return nullptr;
  auto& call = object_call(task);
  if (call.use) {  // of one that was sent there is nothing left
    if (call.use->arguments.empty() && call.use->named.empty()) return nullptr;
    return std::make_shared<std::pair<std::vector<Value>, std::vector<Named>>>(
        std::move(call.use->arguments), std::move(call.use->named));
  }
  // What is elsewhere holds nothing of the user's.
  const bool is_here =
      std::any_of(call.objects.begin(), call.objects.end(),
                  [](const detail::ObjectRef& object) { return object && !held_id(*object); });
  if (!is_here) return nullptr;
  return std::make_shared<std::vector<detail::ObjectRef>>(std::move(call.objects));
}

std::uint64_t chain_of(const detail::TaskState& task) {
  if (const auto* call = function_call(task)) return call->chain;
  if (task.kind != detail::TaskState::Kind::method) return 0;
  return object_call(const_cast<detail::TaskState&>(task)).identity.chain;
}

std::string ObjectCall::label() const {
  if (method != nullptr) return std::string(method->label);
  return use ? use->label() : "start of a Python session";
}

/// What a call was answered.
struct Objects::Answer {
  capnp::Response<proto::Object::CallResults> response;
  detail::Bytes value;  ///< the encoded result, if it is no exception
};

kj::Promise<Objects::Answer> Objects::read_answer(
    capnp::Response<proto::Object::CallResults> response) {
  if (response.getResult().isException()) return Answer{kj::mv(response), {}};
  return detail::read_result(response.getResult())
      .then([response = kj::mv(response)](detail::Bytes value) mutable {
        return Answer{kj::mv(response), std::move(value)};
      });
}

Objects::Home::Home(proto::Home::Client given, std::uint32_t slave_index, std::string slave_name,
                    bool is_python)
    : client(kj::mv(given)),
      index(slave_index),
      slave(std::move(slave_name)),
      python(is_python),
      ended(client.endedRequest()
                .send()
                .then(
                    [this](capnp::Response<proto::Home::EndedResults> answer) -> kj::Promise<void> {
                      over = true;
                      outcome = kj::heap(kj::mv(answer));
                      return kj::READY_NOW;
                    },
                    [this](kj::Exception&& error) -> kj::Promise<void> {
                      over = true;
                      return kj::mv(error);
                    })
                .fork()) {}

kj::Promise<Waiter::Wait> Objects::Home::wait() {
  return client.waitsRequest().send().then(
      [](capnp::Response<proto::Home::WaitsResults> answer) { return read(answer); });
}

kj::Promise<void> Objects::Home::refuse(std::uint64_t call, const char* why) {
  auto request = client.refuseRequest();
  request.setCall(call);
  request.setWhy(why);
  return request.send().ignoreResult();
}

/// A reference that came with a call of others may be to an object anywhere.
std::string Objects::Open::slave_name() const {
  return home ? home->slave : "";
}

Objects::Objects(kj::Timer& timer, Shipment& shipment, Shipment& python, Surroundings surroundings)
    : timer_(timer),
      shipment_(shipment),
      python_(python),
      surroundings_(std::move(surroundings)),
      doors_{.hold = [this](proto::Object::Client object) { return hold(kj::mv(object), nullptr); },
             .offer = [this](const detail::ObjectRef& object) { return client_of(object); }},
      offering_(new OfferedObject::Surroundings{
          .find =
              [this](proto::Call::Reader call) {
                return reinterpret_cast<detail::Method::Thunk>(
                    const_cast<void*>(shipment_.find({call.getFile(), call.getOffset()})));
              },
          .run = surroundings_.run,
          .hold =
              [this](proto::Object::Client object, std::uint64_t chain) {
                // Most likely it lives where the call comes from.
                return hold(kj::mv(object), home_of_chain(chain));
              },
          .offer = doors_.offer}),
      circles_(timer, {.held_up = surroundings_.held_up,
                       .fail =
                           [this](detail::TaskState& task, std::exception_ptr why) {
                             if (task.kind == detail::TaskState::Kind::method)
                               cancel(task, std::move(why));
                             else
                               surroundings_.fail(task, std::move(why));
                           }}),
      calls_(kj::heap<kj::TaskSet>(*this)) {}

Objects::~Objects() {
  // Others hold what was offered to them until a later turn of the loop.
  offering_->end();
  calls_ = nullptr;
  for (auto& [id, entry] : entries_) end_later(std::move(entry.maker));
  while (!open_.empty()) fail(open_.front(), cancelled_error(*open_.front().task));
  give_up(std::nullopt, [](const detail::TaskState& task) { return cancelled_error(task); });
}

bool Objects::start(detail::TaskRef task) {
  const auto& call = object_call(*task);
  Place place{call.target.slave, call.target.place};
  if (call.target.object != Target::kRoot) {
    const auto found = entries_.find(call.target.object);
    if (found == entries_.end()) {
      Access::set_error(*task, cancelled_error(*task));
      surroundings_.complete(std::move(task));
      return false;
    }
    place = found->second.place;
  }
  place.first = surroundings_.settled(place.first);
  const auto before = std::exchange(last_slave_, place.first);
  on_several_slaves_ |= before && *before != place.first;
  if (call.returned != 0) {
    Entry& made = entries_[call.returned];
    made.place = place;
    made.problem = std::make_shared<std::exception_ptr>();
  }
  const bool is_made =
      call.target.object != Target::kRoot && entries_.at(call.target.object).client != nullptr;
  if (!is_made) {
    Root& root = roots_[place];
    if (!root.waiting.empty() || !has_session(place.first)) {
      wait(root, std::move(task));
      return true;
    }
  }
  send(std::move(task));
  return false;
}

capnp::RemotePromise<proto::Object::CallResults> Objects::request(
    proto::Object::Client& object, const detail::Method& method, const detail::Arguments& arguments,
    const std::vector<detail::ObjectRef>& objects, const detail::CallIdentity& identity) {
  const auto known = functions_.find(&method);
  const auto function = known != functions_.end()
                            ? known->second
                            : shipment_.locate(reinterpret_cast<const void*>(method.thunk));
  functions_.emplace(&method, function);
  return detail::send_call(object, {function.file, function.offset}, arguments, objects, identity,
                           doors_.offer);
}

void Objects::make_again(Entry& entry) {
  detail::TaskRef task(new detail::TaskState);  // which it is that fails
  task->kind = detail::TaskState::Kind::method;
  Access::extra(*task) = std::make_shared<ObjectCall>(ObjectCall{.method = entry.maker->method});
  make_again(entry, task);
}

void Objects::make_again(Entry& entry, const detail::TaskRef& task) {
  Root& root = open_root({surroundings_.settled(entry.place.first), entry.place.second});
  KJ_IF_MAYBE (object, root.object) {
    const auto maker = entry.maker;
    auto sent = request(*object, *maker->method, maker->arguments, maker->objects,
                        {0, detail::new_number()});
    came(entry, sent.getObject(), root.home);
    calls_->add(sent.then([task, home = root.home, problem = entry.problem](
                              capnp::Response<proto::Object::CallResults> answer) {
      if (answer.getResult().isException())
        *problem = thrown_error(*task, answer.getResult().getException(), home->slave);
    }));
  }
}

void Objects::send(detail::TaskRef task) {
  const ObjectCall& call = object_call(*task);  // which lives as long as it is open
  const Place place{surroundings_.settled(call.target.slave), call.target.place};
  Open open_call{std::move(task), nullptr, place.first, nullptr, nullptr};
  kj::Maybe<proto::Object::Client> target;
  if (call.opens_python) {
    // It has no home yet.
  } else if (call.target.object == Target::kRoot) {
    Root& root = open_root(place);
    target = root.object;
    open_call.home = root.home;
  } else {
    Entry& entry = entries_.at(call.target.object);
    if (entry.client == nullptr && entry.maker) make_again(entry, open_call.task);
    target = entry.client;
    open_call.home = entry.home;
    open_call.object_problem = entry.problem;
    open_call.slave = surroundings_.settled(entry.place.first);
  }
  if (const auto made = entries_.find(call.returned); made != entries_.end())
    open_call.returned_problem = made->second.problem;
  open_call.object = call.target.object;
  open_call.returned = call.returned;
  auto& kept = open_.emplace_back(std::move(open_call));
  kept.self = std::prev(open_.end());
  if (call.returned != 0) makers_[call.returned] = &kept;
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
  const auto arguments =
      std::make_shared<const detail::Bytes>(std::move(Access::payload(*kept.task)));
  auto sent = made_by(call, kept.home,
                      request(object, *call.method, arguments, call.objects, call.identity));
  const auto returned = entries_.find(call.returned);
  if (call.target.restartable && returned != entries_.end())
    returned->second.maker = std::make_shared<Maker>(Maker{call.method, arguments, call.objects});
  // The object is kept: what is large of its answer is read from there. With the promise of its
  // answer the call itself is dropped, on all its way.
  auto answer = kept.canceler->wrap<Answer>(
      sent.then([&kept](capnp::Response<proto::Object::CallResults> response) {
            kept.answered = true;
            return read_answer(kj::mv(response));
          })
          .attach(kj::mv(object)));
  calls_->add(answer.then(
      [this, &kept](Answer came) {
        answered(kept, std::move(came));
        return kj::Promise<void>(kj::READY_NOW);
      },
      [this, &kept](kj::Exception&& error) { return broken(kept, error); }));
}

void Objects::made(std::uint64_t returned, proto::Object::Client object,
                   const std::shared_ptr<Home>& home) {
  const auto found = entries_.find(returned);
  if (found == entries_.end()) return;  // it is wanted no more, or there is none
  came(found->second, kj::mv(object), home);
}

void Objects::came(Entry& entry, proto::Object::Client object, const std::shared_ptr<Home>& home) {
  entry.home = home;
  if (home) ++home->objects;
  KJ_IF_MAYBE (promised, entry.promised) {
    promised->fulfiller->fulfill(proto::Object::Client(object));
    entry.promised = nullptr;
  }
  entry.client = kj::mv(object);
}

proto::Object::Client Objects::client_of(const detail::ObjectRef& object, Holds holds) {
  KJ_REQUIRE(object != nullptr, "a reference to nothing");
  detail::made(object);
  surroundings_.check(object);
  if (const auto id = held_id(*object)) {
    lent_away_ |= on_several_slaves_;
    Entry& entry = entries_.at(*id);  // its reference is here
    if (entry.client == nullptr && entry.maker) make_again(entry);
    KJ_IF_MAYBE (client, entry.client) return *client;
    KJ_IF_MAYBE (promised, entry.promised) return promised->client;
    auto paf = kj::newPromiseAndFulfiller<proto::Object::Client>();
    proto::Object::Client client(kj::mv(paf.promise));
    entry.promised = Promised{kj::mv(paf.fulfiller), client};
    return client;
  }
  const bool is_function = !object->can_be_returned();
  lent_away_ |= !is_function;
  return offered_.add(kj::heap<OfferedObject>(offering_, object, std::move(holds),
                                              is_function ? functions_out_ : nullptr));
}

kj::Promise<detail::ObjectRef> Objects::hold(proto::Object::Client object,
                                             std::shared_ptr<Home> home) {
  using Server = kj::Maybe<proto::Object::Server&>;
  // Of an object that is still to come it is not known, and it may take long.
  auto own = offered_.getLocalServer(object)
                 .catch_([](kj::Exception&&) -> Server { return nullptr; })
                 .exclusiveJoin(kj::evalLast([]() -> Server { return nullptr; }));
  return own.then([this, object = kj::mv(object),
                   home = std::move(home)](Server server) mutable -> detail::ObjectRef {
    KJ_IF_MAYBE (offered, server) return static_cast<OfferedObject&>(*offered).object();
    auto [reference, id] = surroundings_.new_reference(0);
    Entry& entry = entries_[id];
    entry.client = kj::mv(object);
    entry.problem = std::make_shared<std::exception_ptr>();
    entry.home = std::move(home);
    if (entry.home) ++entry.home->objects;
    return reference;
  });
}

void Objects::answered(Open& call, Answer answer) {
  const auto result = answer.response.getResult();
  if (result.isException()) return fail_by_failure(call, result.getException());
  Access::payload(*call.task) = std::move(answer.value);
  finish(call);
}

void Objects::fail_by_failure(Open& call, proto::Failure::Reader failure) {
  fail(call, thrown_error(*call.task, failure, call.slave_name()));
}

kj::Promise<void> Objects::broken(Open& call, const kj::Exception& error) {
  if (call.cancelled) {
    fail(call, call.cancelled);
    return kj::READY_NOW;
  }
  if (call.object_problem && *call.object_problem) {
    fail(call, *call.object_problem);
    return kj::READY_NOW;
  }
  // If what was to make its object has not been heard to fail yet, that will say why.
  if (const auto maker = makers_.find(call.object); maker != makers_.end()) {
    auto heard = kj::newPromiseAndFulfiller<void>();
    maker->second->followers.push_back(kj::mv(heard.fulfiller));
    return heard.promise.then([this, &call, error] { return broken(call, error); });
  }
  const std::string why = rpc::text_of(error);
  const std::string slave = call.slave_name();
  if (error.getType() != kj::Exception::Type::DISCONNECTED) {
    fail(call, refused_error(*call.task, slave, why));
    return kj::READY_NOW;
  }
  const bool is_end = rpc::is_process_end(error);
  const auto fail_as_lost = [this, &call, is_end, why](const std::string& where) {
    fail(call, is_end ? ended_process_error(*call.task, where, why)
                      : lost_slave_error(*call.task, where, why));
  };
  if (!call.home || !has_session(surroundings_.settled(call.home->index))) {
    fail_as_lost(slave);
    return kj::READY_NOW;
  }
  // Its process has died; the slave says how.
  const auto home = call.home;
  return home->ended.addBranch()
      .exclusiveJoin(timer_.afterDelay(is_end ? kMoreNews : kNewsOfDeath))
      .catch_([](kj::Exception&&) {})
      .then([this, &call, home, fail_as_lost] {
        KJ_IF_MAYBE (end, home->outcome) {
          const auto outcome = (*end)->getOutcome();
          fail(call, home->python ? python_end_error(*call.task, outcome, home->slave)
                                  : error_of(*call.task, outcome, home->slave, {}));
        } else {
          // It lived elsewhere: an object of this process has given it.
          fail_as_lost("");
        }
      });
}

void Objects::fail(Open& call, std::exception_ptr error) {
  if (call.returned_problem) *call.returned_problem = error;
  break_promise(*call.task, error);
  Access::set_error(*call.task, std::move(error));
  finish(call);
}

void Objects::finish(Open& call) {
  auto task = std::move(call.task);
  auto followers = std::move(call.followers);
  makers_.erase(call.returned);
  open_.erase(call.self);
  surroundings_.complete(std::move(task));
  for (auto& follower : followers) follower->fulfill();
}

void Objects::break_promise(const detail::TaskState& task, const std::exception_ptr& error) {
  const auto found = entries_.find(object_call(const_cast<detail::TaskState&>(task)).returned);
  if (found == entries_.end()) return;
  KJ_IF_MAYBE (promised, found->second.promised) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& why) {
      promised->fulfiller->reject(rpc::failure(why.what()));
    }
    found->second.promised = nullptr;
  }
}

void Objects::cancel(const detail::TaskState& task, std::exception_ptr why) {
  const auto is_it = [&task](const detail::TaskRef& one) { return one.get() == &task; };
  for (auto& call : open_) {
    if (!is_it(call.task)) continue;
    call.cancelled = why ? std::move(why) : cancelled_error(task, call.slave_name());
    call.canceler->cancel("the call was cancelled");
    return;
  }
  for (auto& [place, root] : roots_) {
    const auto found = std::find_if(root.waiting.begin(), root.waiting.end(), is_it);
    if (found == root.waiting.end()) continue;
    auto kept = std::move(*found);
    root.waiting.erase(found);
    const auto error = why ? std::move(why) : cancelled_error(*kept);
    return drop_waiting(std::move(kept), error);
  }
}

std::shared_ptr<Objects::Home> Objects::home_of_chain(std::uint64_t chain) const {
  std::shared_ptr<Home> home;
  if (chain == 0) return home;
  for (const auto& call : open_) {
    if (chain_of(*call.task) != chain || call.answered) continue;
    if (home && call.home != home) return nullptr;
    home = call.home;
  }
  return home;
}

void Objects::taskFailed(kj::Exception&&) {}

}  // namespace knee::driver
