#include "meeting_place.h"

#include <kj/debug.h>

#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

/// What the door and the connection of a slave that dials know of each other: the door needs the
/// connection's end, and the connection the door.
struct Visit {
  kj::Maybe<kj::ForkedPromise<void>> ended;    ///< of the connection, once that is there
  kj::Own<kj::PromiseFulfiller<void>> hold{};  ///< until somebody joins (Connected::hold)
  bool refused = false;
};

/// Given to a slave that joined; its end is the slave's.
class MembershipServer final : public proto::Membership::Server {};

class MeetingServer final : public proto::Meeting::Server {
 public:
  using Join = std::function<void(proto::Slave::Client)>;
  explicit MeetingServer(Join join) : join_(std::move(join)) {}

  kj::Promise<void> join(JoinContext context) override {
    context.getResults().setMembership(kj::heap<MembershipServer>());
    join_(context.getParams().getSlave());
    return kj::READY_NOW;
  }

 private:
  Join join_;
};

/// The driver's door for slaves that dial.
class DriverDoor final : public proto::Door::Server {
 public:
  using Join = std::function<void(std::string name, std::vector<std::string> cpu_flags,
                                  proto::Slave::Client)>;
  /// `greeted` becomes true when the other side has said hello.
  DriverDoor(Join join, std::shared_ptr<bool> greeted)
      : join_(std::move(join)), greeted_(std::move(greeted)) {}

  kj::Promise<void> hello(HelloContext context) override {
    KJ_REQUIRE(!std::exchange(*greeted_, true), "hello was said before on this connection");
    const auto theirs = context.getParams().getHello();
    auto results = context.getResults();
    fill_driver_hello(results.initHello());
    std::string refusal = rpc::refusal_of(theirs);
    if (refusal.empty() && theirs.getRole() != proto::Hello::Role::SLAVE)
      refusal = "this is a driver that waits for slaves; another driver cannot use it";
    if (!refusal.empty()) {
      results.getHello().setRefusal(refusal);
      return kj::READY_NOW;
    }
    results.setMeeting(
        kj::heap<MeetingServer>([join = join_, name = std::string(theirs.getName().cStr()),
                                 cpu_flags = cpu_flags_of(theirs)](proto::Slave::Client slave) {
          join(name, cpu_flags, kj::mv(slave));
        }));
    return kj::READY_NOW;
  }

 private:
  Join join_;
  std::shared_ptr<bool> greeted_;
};

}  // namespace

MeetingPlace::MeetingPlace(kj::AsyncIoContext& io, Joined joined, Say say)
    : io_(io), joined_(std::move(joined)), say_(std::move(say)), connections_(*this) {}

kj::Promise<void> MeetingPlace::listen(rpc::Address address) {
  return rpc::Listener::open(address, io_).then([this](kj::Own<rpc::Listener> listener) {
    say_("waiting for slaves on " + listener->address().text());
    auto& accepting = *listener;
    connections_.add(accept_from(accepting).attach(kj::mv(listener)));
  });
}

kj::Promise<void> MeetingPlace::accept_from(rpc::Listener& listener) {
  return listener.accept().then([this, &listener](kj::Own<kj::AsyncIoStream> stream) {
    serve(kj::mv(stream), listener.address().text());
    return accept_from(listener);
  });
}

void MeetingPlace::serve(kj::Own<kj::AsyncIoStream> stream, const std::string& where) {
  auto let_go = kj::newPromiseAndFulfiller<void>();
  auto greeted = std::make_shared<bool>(false);
  auto visit = kj::heap<Visit>();
  visit->hold = kj::mv(let_go.fulfiller);
  auto join = [this, &visit = *visit](std::string name, std::vector<std::string> cpu_flags,
                                      proto::Slave::Client slave) {
    KJ_REQUIRE(visit.hold.get() != nullptr, "a slave has joined on this connection before");
    KJ_IF_MAYBE (ended, visit.ended) {
      visit.refused = true;
      joined_(Connected{kj::mv(slave), std::move(name), kj::Own<rpc::Connection>(),
                        ended->addBranch(), std::move(cpu_flags), kj::mv(visit.hold)});
      visit.refused = false;
    }
  };
  // Who was refused hears why and goes by itself: letting go of it would cut the answer off.
  auto over = let_go.promise.catch_([&visit = *visit](kj::Exception&&) -> kj::Promise<void> {
    if (visit.refused) return kj::NEVER_DONE;
    return kj::READY_NOW;
  });
  connections_.add(
      rpc::Connection::open(kj::mv(stream), rpc::Connection::Side::accepted,
                            kj::heap<DriverDoor>(std::move(join), greeted),
                            io_.provider->getTimer())
          .then([this, &visit = *visit, greeted](kj::Own<rpc::Connection> connection) {
            auto& open = *connection;
            visit.ended = open.on_disconnect().fork();
            return open.until_end(greeted, io_.provider->getTimer()).attach(kj::mv(connection));
          })
          .exclusiveJoin(kj::mv(over))
          .attach(kj::mv(visit))
          .catch_([this, where](kj::Exception&& error) {
            // A slave that ends is spoken of by its link.
            if (error.getType() == kj::Exception::Type::DISCONNECTED) return;
            say_("dropped a connection to " + where + ": " + rpc::text_of(error));
          }));
}

void MeetingPlace::taskFailed(kj::Exception&& error) {
  say_(rpc::text_of(error));
}

}  // namespace knee::driver
