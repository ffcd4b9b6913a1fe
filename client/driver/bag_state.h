#pragma once
#include <knee/bag.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>

namespace knee::detail {

/// What a bag knows of its tasks. Shared by the bag and its tasks by counted references; any
/// thread.
struct BagState {
  explicit BagState(BagOptions given) : options(std::move(given)) {}

  void add_reference() noexcept { references.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  /// One more task or callback to wait for.
  void begin() { outstanding.fetch_add(1, std::memory_order_relaxed); }
  /// `count` of them are over.
  void end(std::uint64_t count);
  /// A failure nobody handled.
  void fail(const std::exception_ptr& error);

  /// Until nothing is outstanding, at most `limit`. True: nothing is.
  bool wait_for(std::chrono::milliseconds limit);
  /// Throws the first unhandled failure, if any, and forgets all of them.
  void rethrow();

  const BagOptions options;
  std::atomic<std::uint32_t> references{1};
  std::atomic<std::uint64_t> outstanding{0};
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> failed{0};

  std::mutex mutex;
  std::condition_variable idle;
  std::exception_ptr first_failure;
  std::uint64_t failures = 0;
};

}  // namespace knee::detail

namespace knee::driver {

/// Counts the ends of a run of tasks that mostly belong to one bag, so that the bag's counters are
/// touched once.
class BagTally {
 public:
  BagTally() = default;
  BagTally(const BagTally&) = delete;
  ~BagTally() { flush(); }

  void ended(detail::BagState* bag, bool failed);
  void flush();

 private:
  detail::BagState* bag_ = nullptr;
  std::uint64_t ended_ = 0;
  std::uint64_t failed_ = 0;
};

}  // namespace knee::driver
