#include "client/driver/task_table.h"

#include <algorithm>
#include <stdexcept>

namespace knee::driver {

void TaskHistory::remember_failure(SlaveId slave, bool crash) {
  std::copy_backward(failed_on, failed_on + kRemembered - 1, failed_on + kRemembered);
  std::copy_backward(crashed_there, crashed_there + kRemembered - 1, crashed_there + kRemembered);
  failed_on[0] = slave;
  crashed_there[0] = crash;
}

bool TaskHistory::has_failed_on(SlaveId slave) const {
  return std::find(std::begin(failed_on), std::end(failed_on), slave) != std::end(failed_on);
}

std::uint32_t TaskTable::allocate() {
  if (free_ != kNone) {
    const std::uint32_t index = free_;
    free_ = (*this)[index].next;
    return index;
  }
  if (used_ == kNone) {
    throw std::runtime_error("cannot submit another task: 4294967295 tasks are waiting");
  }
  if ((used_ & (kChunk - 1)) == 0) chunks_.push_back(std::make_unique<TaskRecord[]>(kChunk));
  return used_++;
}

void TaskTable::release(std::uint32_t index) {
  TaskRecord& task = (*this)[index];
  if (task.history != kNone) {
    free_histories_.push_back(task.history);
    task.history = kNone;
  }
  task.state = TaskRecord::State::unused;
  if (++task.generation == 0) task.generation = 1;
  task.next = free_;
  free_ = index;
}

TaskHistory& TaskTable::history(TaskRecord& task) {
  if (task.history != kNone) return histories_[task.history];
  if (free_histories_.empty()) {
    task.history = static_cast<std::uint32_t>(histories_.size());
    return histories_.emplace_back();
  }
  task.history = free_histories_.back();
  free_histories_.pop_back();
  return histories_[task.history] = TaskHistory{};
}

std::size_t TaskTable::bytes_used() const {
  return chunks_.size() * kChunk * sizeof(TaskRecord) + histories_.capacity() * sizeof(TaskHistory);
}

}  // namespace knee::driver
