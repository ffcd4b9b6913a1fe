#pragma once
#include "slave/session.h"

#include <capnp/message.h>
#include <kj/async-io.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "tests/slave/played_workers.h"
#include "tests/slave/store/store_fixture.h"

namespace knee::slave::test {

using Ids = std::vector<std::uint64_t>;

constexpr std::size_t kLargeArgument = 100'000;

/// What a session tells its driver, collected from its updates.
struct Told {
  Ids values;
  Ids not_started;
  Ids cancelled;
  Ids crashed;
  Ids timed_out;
  Ids refused;
  std::vector<std::string> notes;
  std::uint64_t number = 0;  ///< of the last update
  bool draining = false;
  bool take_back_answered = false;
};

/// A slave without processes: sessions are driven from both sides by one thread, without a driver
/// and without workers.
struct Place {
  explicit Place(std::uint32_t slots = 1) : slots(slots) {}

  Session& open(const std::string& identity = "you", std::uint32_t slot_limit = 0) {
    return sessions.emplace_back(context, identity, slot_limit, WorkerProgram{});
  }
  void close(Session& session) {
    sessions.remove_if([&](const Session& one) { return &one == &session; });
    settle();
  }

  struct Sent {
    Ids tasks{};
    Ids cancel{};
    Ids awaited{};
    std::uint32_t take_back = 0;
    std::uint64_t grace = 0;
    std::uint64_t timeout = 0;
    std::uint16_t cores = 1;
    bool large = false;  ///< the tasks' arguments came ahead, by their ids
    bool with_function = false;
  };
  void send(Session& session, const Sent& sent) {
    capnp::MallocMessageBuilder message;
    capnp::BuilderCapabilityTable capabilities;
    auto work = capabilities.imbue(message.initRoot<proto::Work>());
    auto tasks = work.initTasks(static_cast<unsigned>(sent.tasks.size()));
    for (unsigned i = 0; i < tasks.size(); ++i) {
      tasks[i].setId(sent.tasks[i]);
      tasks[i].setTimeout(sent.timeout);
      tasks[i].setCores(sent.cores);
      if (sent.with_function) tasks[i].initCapabilities(1).set(0, proto::Object::Client(nullptr));
      if (!sent.large) continue;
      tasks[i].initArguments().setValue(sent.tasks[i]);
      tasks[i].getArguments().setSize(kLargeArgument);
      session.values().put_argument(sent.tasks[i],
                                    session.values().room_for_argument(kLargeArgument));
    }
    auto cancel = work.initCancel(static_cast<unsigned>(sent.cancel.size()));
    for (unsigned i = 0; i < cancel.size(); ++i) cancel.set(i, sent.cancel[i]);
    auto awaited = work.initAwaited(static_cast<unsigned>(sent.awaited.size()));
    for (unsigned i = 0; i < awaited.size(); ++i) awaited.set(i, sent.awaited[i]);
    work.setTakeBack(sent.take_back);
    work.setCancelGrace(sent.grace);
    session.accept(work.asReader(), {});
    settle();
  }

  /// All that has been said so far, as if the driver had asked until there was nothing more.
  Told told(Session& session) {
    settle();
    Told told;
    while (!session.outbox().empty()) {
      capnp::MallocMessageBuilder message;
      auto update = message.initRoot<proto::Update>();
      session.outbox().fill(update);
      session.resume();
      told.number = update.getNumber();
      told.draining |= update.getDraining();
      told.take_back_answered |= update.getTakeBackAnswered();
      for (const auto note : update.asReader().getNotes()) told.notes.emplace_back(note.cStr());
      for (const auto outcome : update.asReader().getOutcomes()) {
        if (outcome.isValue()) told.values.push_back(outcome.getId());
        if (outcome.isNotStarted()) told.not_started.push_back(outcome.getId());
        if (outcome.isCancelled()) told.cancelled.push_back(outcome.getId());
        if (outcome.isCrashed()) told.crashed.push_back(outcome.getId());
        if (outcome.isTimedOut()) told.timed_out.push_back(outcome.getId());
        if (outcome.isRefused()) told.refused.push_back(outcome.getId());
      }
    }
    return told;
  }

  std::size_t workers() const { return keepers.workers.size(); }
  PlayedWorker& worker(std::size_t index) { return *keepers.workers.at(index); }
  /// The same, ready for tasks.
  PlayedWorker& ready(std::size_t index) {
    worker(index).say_ready();
    settle();
    return worker(index);
  }
  /// Runs all that a worker is given.
  Ids run_all(PlayedWorker& worker) {
    Ids done;
    while (const auto task = worker.begin()) {
      done.push_back(*task);
      worker.finish();
      settle();
    }
    return done;
  }
  std::uint32_t busy() const { return slots.busy(); }
  /// Working folders of workers that are there.
  std::size_t working_folders() const {
    const auto is_workers = [](const auto& entry) {
      return entry.path().filename().string().starts_with("worker");
    };
    namespace fs = std::filesystem;
    const fs::directory_iterator all(folder.path());
    return static_cast<std::size_t>(std::count_if(begin(all), end(all), is_workers));
  }
  void settle() { io.waitScope.poll(); }
  /// Lets time pass until then: for what the session does by its clock.
  template <class Condition>
  bool wait_until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition() && std::chrono::steady_clock::now() < end)
      io.provider->getTimer().afterDelay(1 * kj::MILLISECONDS).wait(io.waitScope);
    return condition();
  }

  void grant() {
    if (std::exchange(granting, true)) return;
    for (int grants = 0; const auto client = slots.grant(std::chrono::steady_clock::now());) {
      if (++grants > 10'000) throw std::logic_error("the slots are granted for ever");
      for (auto& session : sessions)
        if (session.client() == *client) session.granted();
    }
    granting = false;
  }

  TempFolder folder;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  BlobStore store{folder / "store", kRoomy};
  DiskPool disk;
  PlayedKeepers keepers;
  bool granting = false;
  FairShare slots;
  SlaveContext context{"gandalf",          slots, keepers, io, disk, store, folder.path(), 1024,
                       [this] { grant(); }};
  std::list<Session> sessions;
};

}  // namespace knee::slave::test
