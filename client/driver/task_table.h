#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "client/driver/schedule_types.h"

namespace knee::driver {

inline constexpr std::uint32_t kNone = UINT32_MAX;

/// One task in 48 bytes. While it is queued its links and `order` belong to a queue, while it is
/// sent they belong to the list of its holder.
struct TaskRecord {
  enum class State : std::uint8_t {
    unused,
    queued,
    sent,
    done,  ///< delivered; the loser of two twins has not reported yet
  };

  std::uint32_t generation = 1;  ///< never 0, so that no task has the number 0
  std::uint32_t kind = 0;
  std::uint32_t bytes = 0;
  std::uint32_t prev = kNone;
  std::uint32_t next = kNone;
  SlaveId pinned = kNoSlave;
  SlaveId holder = kNoSlave;
  std::uint32_t history = kNone;  ///< index of its TaskHistory, which few tasks have
  /// Queued: place in the line. Sent: when it was sent or started; Time::max() while it has not
  /// left, because something large travels ahead of it.
  std::int64_t order = 0;
  float estimate = 0;  ///< seconds it was expected to run when it was sent
  std::uint16_t cores = 1;
  std::uint8_t attempts_left = 1;
  State state : 2 = State::unused;
  bool started : 1 = false;
  bool retry_timeouts : 1 = false;
  bool repeatable : 1 = false;
  bool cancelled : 1 = false;
  bool retried : 1 = false;  ///< has failed somewhere: waits in the line of retries

  void sent_at(Time now) { order = now.time_since_epoch().count(); }
  bool has_left() const { return order != Time::max().time_since_epoch().count(); }
  Duration age(Time now) const { return now.time_since_epoch() - Duration(order); }
};
static_assert(sizeof(TaskRecord) == 48, "ten million queued tasks should fit into 480 MB");

/// What only tasks that failed or have a twin need.
struct TaskHistory {
  static constexpr int kRemembered = 3;
  SlaveId failed_on[kRemembered] = {kNoSlave, kNoSlave, kNoSlave};  ///< newest first
  bool crashed_there[kRemembered] = {};
  SlaveId twin_holder = kNoSlave;
  float twin_estimate = 0;
  Time twin_since{};
  bool twin_started = false;

  void remember_failure(SlaveId slave, bool crash);
  bool has_failed_on(SlaveId slave) const;
};

/// A doubly linked list through TaskRecord::prev and next.
struct TaskList {
  std::uint32_t head = kNone;
  std::uint32_t tail = kNone;
  bool empty() const { return head == kNone; }
};

/// The records of all tasks. It grows by chunks, so records never move, and it never shrinks.
class TaskTable {
 public:
  TaskRecord& operator[](std::uint32_t index) {
    return chunks_[index >> kChunkBits][index & (kChunk - 1)];
  }
  const TaskRecord& operator[](std::uint32_t index) const {
    return chunks_[index >> kChunkBits][index & (kChunk - 1)];
  }
  TaskId id(std::uint32_t index) const { return {index, (*this)[index].generation}; }
  /// nullptr for a task that is gone.
  TaskRecord* find(TaskId id);

  std::uint32_t allocate();
  void release(std::uint32_t index);

  /// The history of a task; made on first use, dropped with the task.
  TaskHistory& history(TaskRecord& task);
  TaskHistory* find_history(const TaskRecord& task) {
    return task.history == kNone ? nullptr : &histories_[task.history];
  }
  const TaskHistory* find_history(const TaskRecord& task) const {
    return task.history == kNone ? nullptr : &histories_[task.history];
  }

  void push_back(TaskList& list, std::uint32_t index);
  void push_front(TaskList& list, std::uint32_t index);
  void erase(TaskList& list, std::uint32_t index);

  std::size_t bytes_used() const;

 private:
  // 48 kB: a new chunk is written to as a whole, also for the one task of a small driver.
  static constexpr unsigned kChunkBits = 10;
  static constexpr std::uint32_t kChunk = 1u << kChunkBits;

  std::vector<std::unique_ptr<TaskRecord[]>> chunks_;
  std::uint32_t used_ = 0;      // indices handed out at least once
  std::uint32_t free_ = kNone;  // a list of free records through TaskRecord::next
  std::vector<TaskHistory> histories_;
  std::vector<std::uint32_t> free_histories_;
};

inline TaskRecord* TaskTable::find(TaskId id) {
  if (id.index >= used_) return nullptr;
  TaskRecord& task = (*this)[id.index];
  const bool alive = task.generation == id.generation && task.state != TaskRecord::State::unused;
  return alive ? &task : nullptr;
}

inline void TaskTable::push_back(TaskList& list, std::uint32_t index) {
  TaskRecord& task = (*this)[index];
  task.prev = list.tail;
  task.next = kNone;
  (list.tail == kNone ? list.head : (*this)[list.tail].next) = index;
  list.tail = index;
}

inline void TaskTable::push_front(TaskList& list, std::uint32_t index) {
  TaskRecord& task = (*this)[index];
  task.prev = kNone;
  task.next = list.head;
  (list.head == kNone ? list.tail : (*this)[list.head].prev) = index;
  list.head = index;
}

inline void TaskTable::erase(TaskList& list, std::uint32_t index) {
  const TaskRecord& task = (*this)[index];
  (task.prev == kNone ? list.head : (*this)[task.prev].next) = task.next;
  (task.next == kNone ? list.tail : (*this)[task.next].prev) = task.prev;
}

}  // namespace knee::driver
