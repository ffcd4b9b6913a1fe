#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace knee::driver {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

/// Names a task from `submit` until its outcome is delivered. `index` is dense and is used again
/// after that, so a caller may keep its own facts in a table indexed by it; `generation` tells the
/// users of one index apart.
struct TaskId {
  std::uint32_t index = UINT32_MAX;
  std::uint32_t generation = 0;

  friend bool operator==(const TaskId&, const TaskId&) = default;
  std::uint64_t packed() const { return std::uint64_t{generation} << 32 | index; }
  static TaskId unpack(std::uint64_t packed) {
    return {static_cast<std::uint32_t>(packed), static_cast<std::uint32_t>(packed >> 32)};
  }
};

/// Names a slave from `add_slave` until `remove_slave`, also while it is away.
/// The lower 20 bits are a dense index, the upper 12 tell the users of one index apart.
enum class SlaveId : std::uint32_t {};
inline constexpr SlaveId kNoSlave{UINT32_MAX};
inline constexpr std::uint32_t slave_index(SlaveId id) {
  return static_cast<std::uint32_t>(id) & 0xfffff;
}

/// What the scheduler must know of a task.
struct TaskFacts {
  std::uint32_t kind = 0;  ///< dense index of its function or label: run times are learnt per kind
  std::uint64_t argument_bytes = 0;  ///< counts against the bytes in flight to a slave
  std::uint16_t cores = 1;           ///< slots it takes; 0 is read as 1
  std::uint8_t attempts = 3;         ///< how many times it may be started; 0 is read as 1
  bool retry_timeouts = false;  ///< a timeout is charged and tried again instead of being final
  bool repeatable = false;      ///< may run twice at a time when it lags
  SlaveId pinned = kNoSlave;    ///< the only slave that may run it
};

/// What the scheduler must know of a slave.
struct SlaveFacts {
  std::uint32_t slots = 1;    ///< tasks of one core it runs at a time; 0: known, but not here now
  std::optional<Time> end{};  ///< it is given no task that is expected to outlast this
};

/// How one attempt at a task ended.
enum class AttemptEnd : std::uint8_t {
  value,
  exception,
  exited,     ///< the task called exit()
  cancelled,  ///< the slave stopped it because it was told to
  timeout,
  crashed,  ///< its worker was killed or ended by a signal while it ran
  out_of_memory,
  slave_lost,      ///< it had started when its slave was lost
  lost_uncharged,  ///< its worker or slave died before it started
  given_back,      ///< not started, returned on a take-back
};

/// What the caller does with the end of an attempt.
struct Verdict {
  enum class Action : std::uint8_t {
    deliver,  ///< this is the task's outcome; its id is dead from now on
    retry,    ///< the scheduler has queued the task again
    ignore,   ///< nothing: a twin goes on or has won, or the report is late or unknown
  };
  Action action = Action::ignore;
  /// What to deliver: the end reported, or `cancelled` for a cancelled task that came back unrun.
  AttemptEnd end = AttemptEnd::value;
  /// Deliver only: the slave that still runs the other twin and should be told to cancel it.
  SlaveId loser = kNoSlave;
};

/// What `cancel` found.
struct Cancellation {
  enum class Found : std::uint8_t {
    dropped,  ///< it was queued and is gone: the caller delivers "cancelled"
    sent,     ///< tell `slaves`; the outcome comes through `finished`
    gone,     ///< its outcome was delivered before
  };
  Found found = Found::gone;
  SlaveId slaves[2] = {kNoSlave, kNoSlave};
};

/// A task that ended for good without a report of a slave.
struct EndedTask {
  TaskId task;
  AttemptEnd end;
};

/// Ask `slave` to give back up to `count` tasks it has not started, the last ones first.
struct TakeBack {
  SlaveId slave;
  std::uint32_t count;
};

/// Something a user should be told about a slave.
struct SlaveEvent {
  enum class What : std::uint8_t { suspended, resumed };
  What what;
  SlaveId slave;
  Duration back_off{};  ///< suspended: for how long
};

/// One slave as the scheduler sees it.
struct SlaveState {
  std::uint32_t slots;
  std::uint32_t held_tasks;  ///< sent and not ended
  std::uint32_t held_cores;
  std::uint32_t started;  ///< of these, reported as started
  std::uint32_t queued;   ///< pinned to it, not sent
  std::uint64_t held_bytes;
  double speed;         ///< 1: as fast as the average slave
  Duration turnaround;  ///< of a task sent to an idle slave, without its run time
  std::optional<Time> suspended_until;
};

/// All of the scheduler in numbers.
struct ScheduleTotals {
  std::uint64_t queued;  ///< tasks, pinned ones included
  std::uint64_t sent;    ///< attempts on slaves, twins included
  std::uint64_t slots;   ///< of slaves that are here and not suspended
  std::uint64_t busy;    ///< of these, filled by tasks sent
};

/// Queued tasks that no slave known now can ever run, for a warning.
struct Unschedulable {
  std::uint64_t tasks = 0;
  std::uint16_t cores = 0;  ///< the least that any of them wants
};

}  // namespace knee::driver
