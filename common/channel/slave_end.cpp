#include "slave_end.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <new>

namespace knee::channel {
namespace {

/// Fewer records than this at a worker ring the bell one by one.
constexpr std::uint32_t kWorthWaiting = 4;
/// With this many they are so short that the worker is done with a quarter before new ones arrive.
constexpr std::uint32_t kMany = 64;

void wake_all(std::atomic<std::uint32_t>& word) {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace

SlaveEnd::SlaveEnd()
    : memory_(SharedMemory::create("knee-channel", kChannelSize)),
      tasks_(memory_.bytes().subspan(kControlSize, kRingSize)),
      outcomes_(memory_.bytes().subspan(kControlSize + kRingSize, kRingSize)),
      doorbell_(UniqueFd()) {
  auto* control = new (memory_.bytes().data()) Control{};
  control->magic = kMagic;
  control->layout_version = kLayoutVersion;
  control->ring_size = kRingSize;
  auto [ours, theirs] = Doorbell::make_pair();
  doorbell_ = Doorbell(std::move(ours));
  worker_socket_ = std::move(theirs);
}

void SlaveEnd::send_setup(std::span<const std::byte> message) {
  doorbell_.send_setup(message, memory_.fd());
}

bool SlaveEnd::offer(std::span<const std::byte> record) {
  const Position start = tasks_.position();
  if (!tasks_.write(record, control().task_read.load(std::memory_order_acquire))) return false;
  for (const std::uint32_t known = claimed(); first_ != known && !starts_.empty(); ++first_)
    starts_.pop_front();
  starts_.push_back(start);
  ++offered_;
  return true;
}

bool SlaveEnd::has_room(std::size_t record) const {
  return tasks_.has_room(record, control().task_read.load(std::memory_order_acquire));
}

void SlaveEnd::publish() {
  if (published_ == offered_) return;
  published_ = offered_;
  auto& word = control().claim;
  std::uint64_t old = word.load(std::memory_order_relaxed);
  Claim next;
  do {
    next = Claim::unpack(old);
    next.limit = published_;
  } while (!word.compare_exchange_weak(old, next.pack(), std::memory_order_seq_cst));
  bell_waits_ = set_bell() || bell_waits_;
  wake_worker(kForRecords);
}

bool SlaveEnd::set_bell() {
  const std::uint32_t known = claimed();
  const std::uint32_t open = published_ - known;
  const bool waits = open >= kWorthWaiting;
  const std::uint32_t left = open >= kMany ? open / 2 : open / 4;
  control().ring_from.store(known + (waits ? open - left : 0), std::memory_order_seq_cst);
  return waits;
}

std::uint32_t SlaveEnd::take_back() {
  auto& word = control().claim;
  std::uint64_t old = word.load(std::memory_order_acquire);
  Claim next;
  do {
    next = Claim::unpack(old);
    next.limit = next.claimed;
  } while (!word.compare_exchange_weak(old, next.pack(), std::memory_order_acq_rel));
  const std::uint32_t kept = believe(next.claimed);
  const std::uint32_t count = offered_ - kept;
  if (count != 0) {
    tasks_.rewind(starts_[kept - first_]);
    starts_.resize(kept - first_);
  }
  offered_ = published_ = kept;
  // What ended meanwhile rang no bell; bell_waits_ stays until the next look.
  set_bell();
  return count;
}

std::uint32_t SlaveEnd::claimed() const {
  return believe(Claim::unpack(control().claim.load(std::memory_order_acquire)).claimed);
}

std::uint32_t SlaveEnd::believe(std::uint32_t claimed) const {
  if (published_ - claimed <= published_ - claimed_) claimed_ = claimed;
  return claimed_;
}

std::uint32_t SlaveEnd::finished() const {
  return control().finished.load(std::memory_order_acquire);
}

std::uint64_t SlaveEnd::started_at() const {
  return std::min<std::uint64_t>(control().started_at.load(std::memory_order_acquire), INT64_MAX);
}

float SlaveEnd::progress() const {
  const auto raw = control().progress.load(std::memory_order_relaxed);
  return raw == 0 ? -1.0F : std::min(static_cast<float>(raw - 1) / 1e6F, 1.0F);
}

void SlaveEnd::cancel(std::uint32_t number) {
  control().cancelled.store(number + 1, std::memory_order_release);
  wake_all(control().cancelled);
}

void SlaveEnd::output_drained(std::uint32_t number) {
  control().output_drained.store(number, std::memory_order_release);
  wake_all(control().output_drained);
}

std::optional<std::span<const std::byte>> SlaveEnd::next_outcome() {
  return outcomes_.read(control().outcome_written.load(std::memory_order_acquire));
}

void SlaveEnd::release_outcomes() {
  control().outcome_read.store(outcomes_.position(), std::memory_order_seq_cst);
  wake_worker(kForRoom);
}

void SlaveEnd::wake_worker(std::uint32_t sleep) {
  if (control().worker_sleeps.compare_exchange_strong(sleep, kAwake, std::memory_order_seq_cst))
    doorbell_.ring();
}

bool SlaveEnd::sleep() {
  bell_waits_ = set_bell();
  control().slave_sleeps.store(1, std::memory_order_seq_cst);
  if (control().outcome_written.load(std::memory_order_seq_cst) == outcomes_.position())
    return true;
  control().slave_sleeps.store(0, std::memory_order_relaxed);
  return false;
}

}  // namespace knee::channel
