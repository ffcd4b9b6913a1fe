#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "common/channel/worker_end.h"

namespace knee::worker {

/// The task this worker runs now, as this_task shows it. There is one per process, because there is
/// one worker per process; a plain driver has it too and it says "no task".
class CurrentTask {
 public:
  /// Once, when the process turns out to be a worker. The channel stays for the rest of the
  /// process.
  void attach(channel::WorkerEnd& channel, std::string slave, unsigned slot);

  void begin(std::uint32_t number, unsigned attempt);
  void end();

  bool cancelled() const noexcept;
  std::stop_token stop_token();
  void progress(double fraction) noexcept;
  const std::string& slave() const noexcept { return slave_; }
  unsigned slot() const noexcept { return slot_; }
  unsigned attempt() const noexcept { return attempt_.load(std::memory_order_relaxed); }

 private:
  void watch();

  channel::WorkerEnd* channel_ = nullptr;
  std::string slave_;
  unsigned slot_ = 0;
  std::atomic<unsigned> attempt_{0};  ///< 0: no task
  std::atomic<std::uint32_t> number_{0};

  std::mutex mutex_;
  std::optional<std::stop_source> stop_;  ///< of the task that asked for one
  std::uint32_t stop_number_ = 0;
  bool watching_ = false;
};

CurrentTask& current_task();

}  // namespace knee::worker
