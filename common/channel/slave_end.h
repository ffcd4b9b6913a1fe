#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <span>

#include "doorbell.h"
#include "layout.h"
#include "ring.h"
#include "shared_memory.h"

namespace knee::channel {

/// The slave's end of the channel to one worker. Lives on the slave's loop thread; never blocks.
///
/// It moves records and knows nothing of what they say. Records down are numbered from 1 in the
/// order they were offered; numbers of records taken back are used again.
class SlaveEnd {
 public:
  /// Makes the memory and the sockets. `take_worker_socket` is to be inherited by the worker.
  SlaveEnd();
  UniqueFd take_worker_socket() { return std::move(worker_socket_); }
  void send_setup(std::span<const std::byte> message);

  /// Writes a record the worker may claim after the next `publish`. False: no room now.
  bool offer(std::span<const std::byte> record);
  /// Whether a record of that many bytes could be offered now; room only grows.
  bool has_room(std::size_t record) const;
  /// Lets the worker claim all that was offered; wakes it if it sleeps.
  void publish();
  /// Takes back all that the worker has not claimed, published or not; returns how many.
  std::uint32_t take_back();

  /// Passes a memfd before the record that names it. False: the socket is full now.
  /// Throws std::system_error: the worker is gone.
  bool send_value(std::uint64_t id, int memfd) { return doorbell_.send_value(id, memfd); }
  /// Lends the worker memory for a large result of the record that is offered next. It uses that or
  /// does not; what was lent for a record is not used any more once that has an outcome. False:
  /// the socket is full now, or the worker is gone.
  bool lend(int memfd) { return doorbell_.lend(offered_ + 1, memfd); }
  /// The record that names it was taken back: the worker should not keep it.
  void forget_value(std::uint64_t id) { doorbell_.forget_value(id); }

  /// What the page says; a worker can write there what it likes, so no claim is believed of what
  /// was not published, and none is believed undone.
  std::uint32_t offered() const { return offered_; }
  std::uint32_t claimed() const;
  std::uint32_t finished() const;
  /// CLOCK_MONOTONIC ns at which the claimed record's task began; 0: none runs. At most INT64_MAX.
  std::uint64_t started_at() const;
  /// 0 to 1, or negative: the task has not said.
  float progress() const;

  /// Asks the task of record `number` to stop (this_task::cancelled).
  void cancel(std::uint32_t number);
  /// Says that the worker's pipes were read empty after record `number` had ended.
  void output_drained(std::uint32_t number);

  /// The next outcome, valid until `release_outcomes`. Throws if the ring holds nonsense: the
  /// worker is then to be killed.
  std::optional<std::span<const std::byte>> next_outcome();
  /// Gives the room of the outcomes read so far back to the worker, which may wait for it.
  void release_outcomes();

  /// Takes in bells and values. To be called when `fd` is readable. False: the worker is gone.
  bool listen() { return doorbell_.listen() != Doorbell::Heard::closed; }
  std::optional<UniqueFd> take_value(std::uint64_t id) { return doorbell_.take_value(id); }

  /// Says that the slave will look again only when the bell rings. False: look again now,
  /// something has come meanwhile.
  bool sleep();

  /// A worker that has work enough rings only when most of it is done, so that short tasks do not
  /// cost a wake-up each. As long as this says true, the slave looks by itself now and then: the
  /// next task may be a long one.
  bool bell_waits() const { return bell_waits_; }

  /// The socket: readable means bells, values, or the end.
  int fd() const { return doorbell_.fd(); }

 private:
  Control& control() const { return *reinterpret_cast<Control*>(memory_.bytes().data()); }
  std::uint32_t believe(std::uint32_t claimed) const;
  /// True: it waits.
  bool set_bell();
  /// If that is what it sleeps for.
  void wake_worker(std::uint32_t sleep);

  SharedMemory memory_;
  RingWriter tasks_;
  RingReader outcomes_;
  Doorbell doorbell_;
  UniqueFd worker_socket_;

  std::uint32_t offered_ = 0;
  std::uint32_t published_ = 0;
  bool bell_waits_ = false;
  mutable std::uint32_t claimed_ = 0;  ///< as last believed
  std::deque<Position> starts_;        ///< of the records (first_ ...] not known to be claimed
  std::uint32_t first_ = 0;            ///< record number before starts_.front()
};

}  // namespace knee::channel
