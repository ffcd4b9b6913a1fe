#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

/// The shared memory of a channel, as two processes, perhaps of different versions, see it.
///
/// One page of atomics, then the task ring, then the outcome ring. The slave makes it and seals its
/// size; a worker checks `magic` and `layout_version` before anything else. Fields are never moved;
/// a new one takes reserved space.
namespace knee::channel {

inline constexpr std::uint32_t kMagic = 0x454e4b4b;  // "KKNE"
inline constexpr std::uint32_t kLayoutVersion = 1;
inline constexpr std::size_t kControlSize = 4096;
inline constexpr std::size_t kRingSize =
    std::size_t{256} * 1024;  ///< of each ring, bytes, a power of two
inline constexpr std::size_t kChannelSize = kControlSize + 2 * kRingSize;

/// Largest record. A quarter of a ring, so that a writer never waits for an almost empty ring.
inline constexpr std::size_t kMaxRecord = kRingSize / 4;

/// Largest value that travels inside a record; larger ones are passed as memfds.
inline constexpr std::size_t kMaxInline = kMaxRecord - std::size_t{8} * 1024;

/// `claimed` and `limit` in one word, so that taking a task and taking tasks back exclude each
/// other. Both count records of the task ring and wrap; a record is claimable while they differ.
struct Claim {
  std::uint32_t claimed = 0;  ///< the worker has taken this many records
  std::uint32_t limit = 0;    ///< the slave has published this many

  static Claim unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
  }
  std::uint64_t pack() const { return std::uint64_t{limit} << 32 | claimed; }
  std::uint32_t open() const { return limit - claimed; }
};

/// What a sleeping worker waits for; a bell for anything else would wake it for nothing.
enum Sleep : std::uint32_t { kAwake = 0, kForRecords = 1, kForRoom = 2 };

struct Control {
  // Written once, before the worker starts.
  std::uint32_t magic;
  std::uint32_t layout_version;
  std::uint32_t ring_size;
  std::uint32_t reserved0;

  alignas(64) std::atomic<std::uint64_t> claim;  ///< both sides, by compare-and-swap

  // Written by the worker.
  alignas(64) std::atomic<std::uint64_t> task_read;  ///< bytes of the task ring it is done with
  std::atomic<std::uint64_t> outcome_written;        ///< bytes of the outcome ring it has filled
  std::atomic<std::uint64_t>
      started_at;  ///< CLOCK_MONOTONIC ns of the claimed task's start; 0: between tasks
  std::atomic<std::uint32_t> finished;  ///< records whose work has ended: equal to `claimed`
                                        ///< between tasks, and while an outcome waits for room
  std::atomic<std::uint32_t> progress;  ///< of the claimed task, in 1/1000000 plus 1; 0: not said
  std::atomic<std::uint32_t> worker_sleeps;  ///< a Sleep: what it wants to be woken for

  // Written by the slave.
  alignas(
      64) std::atomic<std::uint64_t> outcome_read;  ///< bytes of the outcome ring it is done with
  std::atomic<std::uint32_t> slave_sleeps;  ///< 1: ring the bell after writing, see ring_from
  std::atomic<std::uint32_t>
      cancelled;  ///< claim number of the task to stop, plus 1; a futex. 0: none
  std::atomic<std::uint32_t> output_drained;  ///< claim number up to which output was read; a futex
  std::atomic<std::uint32_t> ring_from;  ///< outcomes of records before this number ring no bell,
                                         ///< unless the ring fills or somebody waits for an answer
};

static_assert(sizeof(Control) <= kControlSize);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace knee::channel
