#include "daemon.h"

#include <kj/debug.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <random>
#include <stdexcept>
#include <utility>

#include "common/rpc/socket_stream.h"
#include "slave/store/default_store.h"

namespace knee::slave {
namespace {

constexpr auto kLastTurn = 1 * kj::MILLISECONDS;
/// A minute: the disk may be slow, and its pool waits for what runs there anyway.
constexpr int kMostLastTurns = 60'000;
constexpr auto kReapEvery = 5 * kj::SECONDS;
constexpr auto kShortestRedial = 100 * kj::MILLISECONDS;
constexpr auto kLongestRedial = 10 * kj::SECONDS;

std::filesystem::path store_folder(const Options& options) {
  if (!options.store.empty()) return std::filesystem::absolute(options.store);
  return default_store_folder(std::getenv("XDG_CACHE_HOME"), std::getenv("HOME"), ::getuid());
}

std::uint64_t store_size(const Options& options) {
  return options.store_size != 0 ? options.store_size : default_store_size(store_folder(options));
}

kj::Duration redial_delay(unsigned failures) {
  static std::minstd_rand random(std::random_device{}());
  auto delay = kShortestRedial;
  for (unsigned i = 1; i < failures && delay < kLongestRedial; ++i) delay = delay * 2;
  if (delay > kLongestRedial) delay = kLongestRedial;
  // Jitter, so that a hundred slaves do not come back in the same moment.
  return delay / 2 + delay * static_cast<int>(random() % 1000) / 2000;
}

void say(const std::string& line) {
  std::cerr << "knee-slave: " << line << std::endl;
}

}  // namespace

Daemon::Daemon(Options options, std::uint64_t open_files)
    : options_(std::move(options)),
      store_(store_folder(options_), store_size(options_)),
      slots_(options_.slots),
      state_{SlaveContext{options_.name, slots_, keepers_, io_, disk_, store_, scratch_.path(),
                          open_files, [this] { grant(); }},
             disk_, store_},
      io_(kj::setupAsyncIo()),
      tasks_(kj::heap<kj::TaskSet>(*this)) {}

Daemon::~Daemon() {
  tasks_ = nullptr;
  // What is left of the connections lets go of its sessions in later turns of the loop, and calls
  // that wait for the disk do when that is done. A session needs a loop that runs to end its
  // processes by, which it would not have as a part of what the loop takes with it.
  for (int i = 0; i < kMostLastTurns && !state_.sessions.empty(); ++i)
    io_.provider->getTimer().afterDelay(kLastTurn).wait(io_.waitScope);
}

int Daemon::run() {
  auto ended = kj::newPromiseAndFulfiller<void>();
  end_ = kj::mv(ended.fulfiller);
  tasks_->add(wait_for_signal());
  tasks_->add(reap());
  tasks_->add(look_at_store());
  tasks_->add(disk_.run([base = scratch_.base()] { ScratchFolder::sweep(base); })
                  .catch_([](kj::Exception&&) {}));
  if (options_.idle_exit.count() != 0) tasks_->add(watch_idle());
  if (options_.lifetime.count() != 0) tasks_->add(live_for(options_.lifetime));
  if (options_.inherited >= 0) {
    tasks_->add(serve_inherited(options_.inherited));
  } else {
    if (options_.listen.empty() && options_.dial.empty()) {
      rpc::Address address;
      address.kind = rpc::Address::Kind::unix_socket;
      address.path = rpc::default_socket_path();
      options_.listen.push_back(address);
    }
    if (options_.insecure)
      say("warning: --insecure: whoever reaches this slave by TCP may run any program as this "
          "user");
    for (const auto& address : options_.listen) tasks_->add(listen(address));
    for (const auto& address : options_.dial) tasks_->add(dial(address, 0));
  }
  ended.promise.wait(io_.waitScope);
  return 0;
}

void Daemon::taskFailed(kj::Exception&& error) {
  // Only what the slave cannot live without is rejected up to here.
  if (end_->isWaiting()) end_->reject(kj::mv(error));
}

kj::Promise<void> Daemon::listen(const rpc::Address& address) {
  return rpc::Listener::open(address, io_).then([this](kj::Own<rpc::Listener> listener) {
    say("listening on " + listener->address().text() + ", " + std::to_string(slots_.slots()) +
        " slots, named " + options_.name);
    auto& accepting = *listener;
    return accept_from(accepting).attach(kj::mv(listener));
  });
}

kj::Promise<void> Daemon::accept_from(rpc::Listener& listener) {
  return listener.accept().then([this, &listener](kj::Own<kj::AsyncIoStream> stream) {
    serve(kj::mv(stream), listener.address().text());
    return accept_from(listener);
  });
}

kj::Promise<void> Daemon::until_end(kj::Own<rpc::Connection> connection,
                                    std::shared_ptr<const bool> greeted) {
  auto& open = *connection;
  connections_.insert(&open);
  auto ended = greeted ? open.until_end(greeted, io_.provider->getTimer()) : open.on_disconnect();
  return ended.attach(kj::defer([this, &open] { connections_.erase(&open); }), kj::mv(connection));
}

void Daemon::serve(kj::Own<kj::AsyncIoStream> stream, const std::string& whom) {
  auto greeted = std::make_shared<bool>(false);
  tasks_->add(rpc::Connection::open(kj::mv(stream), rpc::Connection::Side::accepted,
                                    kj::heap<DoorServer>(state_, greeted), io_.provider->getTimer())
                  .then([this, greeted](kj::Own<rpc::Connection> connection) {
                    return until_end(kj::mv(connection), greeted);
                  })
                  .catch_([whom](kj::Exception&& error) {
                    // A driver that ends, however, is nothing to speak of.
                    if (error.getType() == kj::Exception::Type::DISCONNECTED) return;
                    say("dropped a connection to " + whom + ": " + rpc::text_of(error));
                  }));
}

kj::Promise<void> Daemon::serve_inherited(int socket) {
  auto stream = kj::heap<rpc::SocketStream>(io_.unixEventPort, UniqueFd(socket));
  return rpc::Connection::open(kj::mv(stream), rpc::Connection::Side::accepted,
                               kj::heap<DoorServer>(state_), io_.provider->getTimer())
      .then([this](kj::Own<rpc::Connection> connection) { return until_end(kj::mv(connection)); })
      .catch_([](kj::Exception&&) {})
      .then([this] { end_->fulfill(); });  // the driver is gone, and it was its slave
}

kj::Promise<void> Daemon::dial(rpc::Address address, unsigned failures) {
  auto met = kj::heap<bool>(false);
  auto& was_met = *met;
  return rpc::connect(address, io_)
      .then([this](kj::Own<kj::AsyncIoStream> stream) {
        return rpc::Connection::open(kj::mv(stream), rpc::Connection::Side::dialed,
                                     kj::heap<DoorServer>(state_), io_.provider->getTimer());
      })
      .then([this, address, &was_met](kj::Own<rpc::Connection> connection) {
        auto& open = *connection;
        auto silence = io_.provider->getTimer()
                           .afterDelay(rpc::kGreetingDeadline)
                           .then([]() -> proto::Membership::Client {
                             throw std::runtime_error("it did not let this slave in within 10 s");
                           });
        return meet(open)
            .exclusiveJoin(kj::mv(silence))
            .then([this, address, &was_met,
                   connection = kj::mv(connection)](proto::Membership::Client membership) mutable {
              was_met = true;
              say("serving " + address.text());
              // Letting go of it would mean that this slave leaves.
              return until_end(kj::mv(connection)).attach(kj::mv(membership));
            });
      })
      .then([address] { say(address.text() + " has ended the connection; dialing again"); },
            [address, failures](kj::Exception&& error) {
              if (failures == 0)
                say("cannot reach " + address.text() + " yet: " + rpc::text_of(error) +
                    "; trying for ever");
            })
      .then([this, address, failures, met = kj::mv(met)] {
        const unsigned now_failed = *met ? 1 : failures + 1;
        return io_.provider->getTimer().afterDelay(redial_delay(now_failed)).then([=, this] {
          return dial(address, now_failed);
        });
      });
}

kj::Promise<proto::Membership::Client> Daemon::meet(rpc::Connection& connection) {
  auto request = connection.door().helloRequest();
  fill_hello(request.initHello(), state_);
  return request.send().then([this](capnp::Response<proto::Door::HelloResults> answer) {
    const auto theirs = answer.getHello();
    if (theirs.getRefusal().size() != 0) throw std::runtime_error(theirs.getRefusal().cStr());
    const std::string refusal = rpc::refusal_of(theirs);
    if (!refusal.empty()) throw std::runtime_error(refusal);
    auto join = answer.getMeeting().joinRequest();
    join.setSlave(kj::heap<SlaveServer>(state_, theirs.getIdentity().cStr()));
    return join.send().then([](auto&& answer) { return answer.getMembership(); });
  });
}

kj::Promise<void> Daemon::watch_idle() {
  return io_.provider->getTimer().afterDelay(1 * kj::SECONDS).then([this]() -> kj::Promise<void> {
    const auto idle = std::chrono::steady_clock::now() - state_.last_used;
    if (!state_.sessions.empty() || idle < options_.idle_exit) return watch_idle();
    say("no driver for " + std::to_string(options_.idle_exit.count()) + " s: ending");
    end_->fulfill();
    return kj::READY_NOW;
  });
}

kj::Promise<void> Daemon::live_for(std::chrono::seconds lifetime) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  state_.ends_at = std::chrono::floor<std::chrono::seconds>(now + lifetime).count();
  return io_.provider->getTimer().afterDelay(lifetime.count() * kj::SECONDS).then([this, lifetime] {
    if (state_.draining) return;
    say("the lifetime of " + std::to_string(lifetime.count()) + " s is over");
    begin_drain();
  });
}

kj::Promise<void> Daemon::reap() {
  return io_.provider->getTimer().afterDelay(kReapEvery).then([this] {
    keepers_.reap();
    give_back_memory();
    for (const auto& report : store_.take_reports()) say("store: " + report.text);
    return reap();
  });
}

/// What was freed stays with the process while drivers are here (rpc::keep_freed_chunks).
void Daemon::give_back_memory() {
  if (!state_.sessions.empty() || given_back_ == state_.last_used) return;
  given_back_ = state_.last_used;
  ::malloc_trim(0);
}

kj::Promise<void> Daemon::look_at_store() {
  return disk_.run([this] { return store_.statistics().bytes; })
      .then([this](std::uint64_t bytes) { state_.traffic.stored = bytes; }, [](kj::Exception&&) {})
      .then([this] { return io_.provider->getTimer().afterDelay(kReapEvery); })
      .then([this] { return look_at_store(); });
}

kj::Promise<void> Daemon::wait_for_signal() {
  return io_.unixEventPort.onSignal(SIGTERM)
      .exclusiveJoin(io_.unixEventPort.onSignal(SIGINT))
      .then([this](siginfo_t) {
        if (state_.draining) {
          end_->fulfill();
          return kj::Promise<void>(kj::READY_NOW);
        }
        begin_drain();
        return wait_for_signal();
      });
}

void Daemon::begin_drain() {
  state_.draining = true;
  for (auto* session : state_.sessions) session->drain();
  if (state_.sessions.empty()) {
    end_->fulfill();
    return;
  }
  say("draining: running tasks finish, waiting ones go back; once more to stop now");
  tasks_->add(drained().then([this] { end_->fulfill(); }));
}

kj::Promise<void> Daemon::drained() {
  // Until no session runs anything and has told its driver so.
  return io_.provider->getTimer().afterDelay(50 * kj::MILLISECONDS).then([this] {
    // A driver that waits for nothing learns of it when the connection ends.
    const bool working =
        std::any_of(state_.sessions.begin(), state_.sessions.end(), [](Session* session) {
          return session->busy() || session->outbox().bytes() != 0 ||
                 session->values().has_results();
        });
    const bool sending = std::any_of(connections_.begin(), connections_.end(),
                                     [](auto* connection) { return connection->has_unsent(); });
    return working || sending ? drained() : kj::Promise<void>(kj::READY_NOW);
  });
}

void Daemon::grant() {
  // granted() may ask again; one loop is enough.
  if (std::exchange(granting_, true)) return;
  KJ_DEFER(granting_ = false);
  while (const auto client = slots_.grant(std::chrono::steady_clock::now())) {
    for (auto* session : state_.sessions) {
      if (session->client() != *client) continue;
      session->granted();
      break;
    }
  }
}

}  // namespace knee::slave
