#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "doorbell.h"
#include "layout.h"
#include "ring.h"
#include "shared_memory.h"
#include "spin_policy.h"

namespace knee::channel {

/// The worker's end of the channel. Belongs to the thread that runs tasks, except where said.
class WorkerEnd {
 public:
  /// Waits for the slave's setup on the inherited socket. Throws with a text when the slave is gone
  /// or speaks only another layout.
  explicit WorkerEnd(UniqueFd socket);

  /// The setup message as it came.
  const std::string& setup() const { return setup_; }

  /// Claims the next record; nothing if there is none. Valid until `release_record`.
  std::optional<std::span<const std::byte>> claim();
  /// Number of the claimed record.
  std::uint32_t number() const { return number_; }
  /// The record's bytes are no longer needed.
  void release_record();

  /// The claimed record's task begins now (CLOCK_MONOTONIC ns) ...
  void begin(std::uint64_t now);
  /// ... has ended, although its outcome may have to wait for room ...
  void finish();
  /// ... and its outcome has been put.
  void end();

  /// Whether the slave is woken for a record although it has said that the bell may wait.
  enum class Bell { as_agreed, at_once };

  /// Waits for room and writes a record for the slave. False: the slave is gone.
  bool put(std::span<const std::byte> record, Bell bell = Bell::as_agreed);
  bool send_value(std::uint64_t id, int memfd);
  /// Memory that the slave has lent for the claimed record's result; empty if there is none.
  UniqueFd take_lent();
  /// Waits for a memfd the slave has passed. Empty: the slave is gone.
  std::optional<UniqueFd> wait_value(std::uint64_t id);

  /// Waits until there may be a record to claim. False: the slave is gone.
  bool wait();
  /// To be called once, when it has waited for a second.
  void when_idle(std::function<void()> call) { when_idle_ = std::move(call); }
  /// Waits until the slave has read this process's pipes up to the end of record `number`.
  /// False: the slave is gone.
  bool wait_output_drained(std::uint32_t number);

  // From any thread of the worker:

  bool cancelled(std::uint32_t number) const;
  /// Blocks until the cancel word is no longer `seen`; returns it.
  std::uint32_t wait_cancel_word(std::uint32_t seen) const;
  void set_progress(float fraction);

  int fd() const { return doorbell_.fd(); }

 private:
  Control& control() const { return *reinterpret_cast<Control*>(memory_.bytes().data()); }
  bool ready() const;
  bool spin_until_ready(std::chrono::steady_clock::time_point begin) const;
  bool sleep_until_ready();
  /// Whether the slave wants to be woken for the outcome of the claimed record.
  bool is_awaited() const;
  void wake_slave();

  Doorbell doorbell_;
  std::string setup_;
  SharedMemory memory_;
  RingReader tasks_;
  RingWriter outcomes_;
  SpinPolicy spin_;
  std::function<void()> when_idle_;
  std::uint32_t number_ = 0;
};

}  // namespace knee::channel
