#pragma once
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/channel/record.h"
#include "common/channel/worker_end.h"
#include "common/channel/worker_mark.h"
#include "common/process/control_message.h"
#include "common/process/keeper.h"
#include "proto/worker.capnp.h"

namespace knee::slave::test {

/// A worker that is played by the test on its own thread: the real channel to the slave, and the
/// keeper's side of its control socket, but no process. Nothing here waits.
class PlayedWorker {
 public:
  PlayedWorker(UniqueFd channel, UniqueFd control)
      : socket_(std::move(channel)), control_(std::move(control)) {}

  void say_ready() {
    passed_ = UniqueFd(::dup(socket_.get()));
    channel_.emplace(std::move(socket_));
    channel_->put(records_.build<proto::FromWorker>([](auto root) { root.setReady(); }),
                  channel::WorkerEnd::Bell::at_once);
  }

  /// Reads and drops the large arguments it was passed so far.
  void drop_values() {
    char bytes[8];
    while (::recv(passed_.get(), bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
  }

  /// What no worker says.
  void say_nonsense() {
    channel_.emplace(std::move(socket_));
    channel_->put(std::as_bytes(std::span(&kNonsense, 1)), channel::WorkerEnd::Bell::at_once);
  }

  /// Claims the next task and begins it. None: there is nothing to do.
  std::optional<std::uint64_t> begin() {
    while (const auto bytes = channel_->claim()) {
      channel::RecordReader reader(*bytes);
      const auto record = reader.root<proto::ToWorker>();
      if (record.isTask()) {
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        channel_->begin(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
                        static_cast<std::uint64_t>(now.tv_nsec));
        return task_ = record.getTask().getId();
      }
      channel_->release_record();
      channel_->end();
    }
    return std::nullopt;
  }

  /// Ends what it has begun, but there is no room for the outcome yet. Then `finish`.
  void wait_for_room() { channel_->finish(); }

  /// Ends what it has begun, with a large value that it does not pass.
  void finish_without_value() {
    end_with([&](proto::Payload::Builder value) { value.setValue(++last_value_); });
  }

  /// Ends what it has begun, with that value.
  void finish(const std::string& value = "done") {
    end_with([&](proto::Payload::Builder payload) {
      payload.setInline(
          kj::arrayPtr(reinterpret_cast<const kj::byte*>(value.data()), value.size()));
    });
  }

  /// Ends what it has begun, with a large value. Returns the memory it lies in.
  UniqueFd finish_large(std::size_t size) {
    UniqueFd memory = channel_->take_lent();
    if (!memory) memory = channel::SharedMemory::create_unmapped("knee-result", size);
    REQUIRE(channel_->send_value(++last_value_, memory.get()));
    end_with([&](proto::Payload::Builder value) {
      value.setValue(last_value_);
      value.setSize(size);
    });
    return memory;
  }

  /// Whether the begun task was told to stop.
  bool told_to_stop() const { return channel_->cancelled(channel_->number()); }

  /// Whether its end was asked for, by a SIGKILL or because the slave let go of it.
  bool is_wanted_dead() {
    process::KillMessage message;
    const auto got = ::recv(control_.get(), &message, sizeof message, MSG_DONTWAIT);
    wanted_dead_ = wanted_dead_ || got == 0 || (got > 0 && message.signal == SIGKILL);
    return wanted_dead_;
  }

  /// Ends as a process would.
  void die(const process::DeathRecord& record) {
    channel_.reset();
    passed_.reset();
    socket_.reset();
    const auto bytes = process::encode(record);
    REQUIRE(::send(control_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0);
  }
  void die_of(int signal) {
    process::DeathRecord record;
    record.signal = signal;
    die(record);
  }

 private:
  static constexpr std::uint64_t kNonsense = ~std::uint64_t{0};

  template <class Fill>
  void end_with(Fill fill) {
    const auto record = records_.build<proto::FromWorker>([&](auto root) {
      auto outcome = root.initOutcome();
      outcome.setId(*task_);
      outcome.setRunTime(1000);
      fill(outcome.initValue());
    });
    channel_->put(record, channel::WorkerEnd::Bell::at_once);
    channel_->release_record();
    channel_->end();
    task_.reset();
  }

  UniqueFd socket_;
  UniqueFd passed_;  ///< the same socket, once the channel has it
  UniqueFd control_;
  channel::RecordBuilder records_;
  std::optional<channel::WorkerEnd> channel_;
  std::optional<std::uint64_t> task_;
  std::uint64_t last_value_ = 0;
  bool wanted_dead_ = false;
};

/// Keepers that start no process, but workers for the test to play.
class PlayedKeepers final : public process::Keepers {
 public:
  process::Keeper start(const process::SpawnPlan& plan) override {
    if (refuses) throw std::system_error(EAGAIN, std::generic_category(), "cannot start a keeper");
    int control[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0);
    for (const auto& passed : plan.descriptors)
      if (passed.there == channel::kWorkerSocket)
        workers.push_back(
            std::make_unique<PlayedWorker>(UniqueFd(::dup(passed.here)), UniqueFd(control[1])));
    if (ends_at_once) workers.back()->die_of(SIGILL);
    // This process is not its own child: nobody will wait for it.
    return hold(process::Descriptor(control[0]), ::getpid());
  }

  bool refuses = false;       ///< the machine has no more processes
  bool ends_at_once = false;  ///< a worker has died before anybody looks at it
  std::vector<std::unique_ptr<PlayedWorker>> workers;  ///< in the order in which they were started
};

}  // namespace knee::slave::test
