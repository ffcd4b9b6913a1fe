#include "bag_state.h"

namespace knee::detail {

void BagState::end(std::uint64_t count) {
  if (outstanding.fetch_sub(count, std::memory_order_acq_rel) != count) return;
  const std::lock_guard lock(mutex);  // or a waiter between its look and its sleep would miss it
  idle.notify_all();
}

void BagState::fail(const std::exception_ptr& error) {
  const std::lock_guard lock(mutex);
  if (!first_failure) first_failure = error;
  ++failures;
}

bool BagState::wait_for(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex);
  return idle.wait_for(lock, limit,
                       [this] { return outstanding.load(std::memory_order_acquire) == 0; });
}

void BagState::rethrow() {
  std::exception_ptr error;
  std::uint64_t count = 0;
  {
    const std::lock_guard lock(mutex);
    error = std::exchange(first_failure, nullptr);
    count = std::exchange(failures, 0);
  }
  if (!error) return;
  if (count == 1) std::rethrow_exception(error);
  try {
    std::rethrow_exception(error);
  } catch (const Error& first) {
    throw Error(first.kind(),
                std::string(first.what()) + "\n(and " + std::to_string(count - 1) +
                    (count == 2 ? " more failure" : " more failures") + " in this bag)",
                {first.slave(), first.task(), first.attempt()}, first.exception_type(),
                first.exception_text());
  }  // an exception out of a callback goes on as it is
}

}  // namespace knee::detail

namespace knee::driver {

void BagTally::ended(detail::BagState* bag, bool failed) {
  if (bag != bag_) {
    flush();
    bag_ = bag;
    if (bag_ != nullptr) bag_->add_reference();
  }
  ++ended_;
  if (failed) ++failed_;
}

void BagTally::flush() {
  if (bag_ == nullptr) {
    ended_ = failed_ = 0;
    return;
  }
  if (ended_ != 0) {
    bag_->done.fetch_add(ended_ - failed_, std::memory_order_relaxed);
    bag_->failed.fetch_add(failed_, std::memory_order_relaxed);
    bag_->end(ended_);
  }
  std::exchange(bag_, nullptr)->drop_reference();
  ended_ = failed_ = 0;
}

}  // namespace knee::driver
