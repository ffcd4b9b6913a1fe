#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/channel/record.h"
#include "proto/slave.capnp.h"
#include "proto/worker.capnp.h"
#include "slave/worker.h"
#include "slave/worker_line.h"

namespace knee::slave {

class Home;

/// What a home tells the session it belongs to. On the loop.
class HomeOwner {
 public:
  virtual void home_printed(Home& home, bool error, std::string text) = 0;
  /// Its process has ended. The owner lets go of the home later than in this call.
  virtual void home_ended(Home& home) = 0;
  virtual bool may_read() = 0;

 protected:
  ~HomeOwner() = default;
};

/// A worker process that objects live in (proto::Home). The session owns it until the process has
/// ended; who asks about it may hold it longer. Lives on the loop.
class Home final : public WorkerOwner {
 public:
  using MakeWorker = std::function<std::unique_ptr<Worker>(WorkerOwner&, std::uint32_t slot)>;

  /// Starts the process. Throws what starting throws.
  Home(HomeOwner& owner, kj::UnixEventPort& port, std::uint32_t slot, const MakeWorker& make_worker,
       channel::RecordBuilder& records);
  Home(const Home&) = delete;
  ~Home();

  std::uint32_t slot() const { return slot_; }
  /// The object from which others are made.
  proto::Object::Client root();
  proto::ObjectHost::Client& host() { return host_; }
  /// Takes up reading what the process prints.
  void resume();

  /// Looks for the end of all calls that have been sent; `finishes` until then.
  void finish();
  bool finishes() const { return finishes_; }

  /// Sends it a signal.
  void signal(int number) {
    if (worker_) worker_->signal(number);
  }
  /// Kills the process, if there still is one.
  void kill() {
    if (worker_) worker_->kill(KillReason::closed);
  }
  /// The session ends: kills the process, and knows the owner no more.
  void end();
  /// Resolves when the process has ended.
  kj::Promise<void> on_end() { return ended_.addBranch(); }
  /// After that: how it ended.
  const WorkerDeath& death() const { return *death_; }

 private:
  // WorkerOwner
  void task_ended(Worker& worker, QueuedTask task, std::span<const std::byte> record,
                  std::optional<channel::SharedMemory> value) override;
  void task_printed(Worker& worker, std::uint64_t task, bool error, std::string text) override;
  void worker_progressed(Worker&) override {}
  void worker_died(Worker& worker, WorkerDeath death) override;
  bool may_read() override;
  kj::Promise<void> fail_calls(kj::UnixEventPort& port);

  HomeOwner* owner_;
  std::uint32_t slot_;
  std::unique_ptr<Worker> worker_;
  kj::Own<WorkerLine> line_;
  proto::ObjectHost::Client host_;
  std::optional<WorkerDeath> death_;
  kj::Own<kj::PromiseFulfiller<void>> end_;
  kj::ForkedPromise<void> ended_;
  bool finishes_ = false;
  kj::Promise<void> finish_ = nullptr;
  kj::Promise<void> burial_ = nullptr;
};

/// A home as the driver asks about it. It does not keep the home alive: those who hold objects do.
class HomeServer final : public proto::Home::Server {
 public:
  explicit HomeServer(std::shared_ptr<Home> home) : home_(std::move(home)) {}
  kj::Promise<void> ended(EndedContext context) override;
  kj::Promise<void> count(CountContext context) override;
  kj::Promise<void> interrupt(InterruptContext context) override;
  kj::Promise<void> end(EndContext context) override;
  kj::Promise<void> waits(WaitsContext context) override;
  kj::Promise<void> refuse(RefuseContext context) override;

 private:
  std::shared_ptr<Home> home_;
};

}  // namespace knee::slave
