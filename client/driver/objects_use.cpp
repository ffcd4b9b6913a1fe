#include <knee/error.h>

#include "client/call/task_access.h"
#include "client/driver/failure.h"
#include "client/driver/objects.h"
#include "client/driver/slave_link.h"
#include "common/rpc/rpc_loop.h"

// Objects that are used by names, and Python sessions.
namespace knee::driver {
namespace {

using detail::Access;

/// What a session on a slave consists of.
struct Opened {
  proto::Home::Client home;
  proto::Object::Client root;
};

}  // namespace

void Objects::send_use(Open& kept, proto::Object::Client object, const ObjectCall& call) {
  auto request = object.useRequest(detail::size_of(*call.use));
  detail::write_use(request.initUse(), *call.use, call.identity, doors_);
  call.use->arguments.clear();
  call.use->named.clear();
  auto sent = made_by(call, kept.home, request.send());
  const detail::ObjectDoors doors{
      .hold = [this,
               home = kept.home](proto::Object::Client given) { return hold(kj::mv(given), home); },
      .offer = doors_.offer};
  // As in send_call.
  auto answer = kept.canceler->wrap<std::shared_ptr<detail::UseAnswer>>(
      sent.then([doors, &kept](capnp::Response<proto::Object::UseResults> response) {
            kept.answered = true;
            return detail::read_answer(kj::mv(response), doors);
          })
          .attach(kj::mv(object)));
  calls_->add(answer.then(
      [this, &kept](std::shared_ptr<detail::UseAnswer> come) {
        answered(kept, std::move(*come));
        return kj::Promise<void>(kj::READY_NOW);
      },
      [this, &kept](kj::Exception&& error) { return broken(kept, error); }));
}

void Objects::answered(Open& call, detail::UseAnswer answer) {
  if (answer.failed) {
    capnp::MallocMessageBuilder message;
    auto failure = message.initRoot<proto::Failure>();
    failure.setType(answer.failed->type);
    failure.setWhat(answer.failed->what);
    failure.setTraceback(answer.failed->traceback);
    return fail_by_failure(call, failure.asReader());
  }
  Access::answer(*call.task) = std::make_shared<detail::UseResult>(std::move(answer.result));
  finish(call);
}

void Objects::open_python(Open& kept, const ObjectCall& call) {
  auto* link = surroundings_.link(kept.slave);
  if (link == nullptr || link->session() == nullptr)
    return fail(kept, lost_slave_error(*kept.task, "", "it has no session any more"));
  link->listen();
  proto::Session::Client session = KJ_ASSERT_NONNULL(link->session());
  auto store = KJ_ASSERT_NONNULL(link->slave()).storeRequest().send().getStore();
  auto opened = python_.send(kj::mv(store), link->heard())
                    .then([this, session]() mutable {
                      auto request = session.openHomeRequest();
                      python_.fill(request.initProgram());
                      return request.send();
                    })
                    .then([](capnp::Response<proto::Session::OpenHomeResults> answer) {
                      return Opened{answer.getHome(), answer.getRoot()};
                    })
                    .fork();
  // First, so that why it fails is known when what is called on it fails.
  calls_->add(opened.addBranch().then(
      [this, &kept](Opened) {
        finish(kept);
        return kj::Promise<void>(kj::READY_NOW);
      },
      [this, &kept](kj::Exception&& error) { return broken(kept, error); }));
  auto home = std::make_shared<Home>(
      opened.addBranch().then([](Opened session) { return kj::mv(session.home); }), kept.slave,
      link->name(), true);
  circles_.watch(home);
  made(call.returned, opened.addBranch().then([](Opened session) { return kj::mv(session.root); }),
       home);
}

Objects::Home* Objects::home_of(std::uint64_t object) {
  const auto found = entries_.find(object);
  return found != entries_.end() ? found->second.home.get() : nullptr;
}

void Objects::interrupt(std::uint64_t object) {
  if (auto* home = home_of(object))
    calls_->add(home->client.interruptRequest().send().ignoreResult());
}

void Objects::end(std::uint64_t object) {
  if (auto* home = home_of(object)) calls_->add(home->client.endRequest().send().ignoreResult());
}

}  // namespace knee::driver
