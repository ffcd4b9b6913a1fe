#include "worker_end.h"

#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <system_error>

#include "common/base/affinity.h"

namespace knee::channel {
namespace {

/// Between two looks at the clock, which costs as much as ten of them.
constexpr int kLooks = 20;

/// How long it sleeps before it counts as idle.
constexpr int kIdle = 1000;  // ms

void wait_while(const std::atomic<std::uint32_t>& word, std::uint32_t value,
                const timespec* limit) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, value, limit, nullptr, 0);
}

}  // namespace

WorkerEnd::WorkerEnd(UniqueFd socket)
    : doorbell_(std::move(socket)),
      memory_([this] {
        auto [message, fd] = doorbell_.receive_setup();
        setup_ = std::move(message);
        return SharedMemory::map(std::move(fd));
      }()),
      tasks_({}),
      outcomes_({}),
      spin_(allowed_cores()) {
  const auto bytes = memory_.bytes();
  if (bytes.size() < kControlSize || control().magic != kMagic ||
      control().layout_version != kLayoutVersion)
    throw std::runtime_error(
        "this knee-slave shares memory in a layout this program does not know: use the same Knee "
        "version for both");
  const std::size_t ring = control().ring_size;
  if (bytes.size() < kControlSize + 2 * ring || !std::has_single_bit(ring))
    throw std::runtime_error("the slave's channel is shorter than it says");
  tasks_ = RingReader(bytes.subspan(kControlSize, ring));
  outcomes_ = RingWriter(bytes.subspan(kControlSize + ring, ring));
}

std::optional<std::span<const std::byte>> WorkerEnd::claim() {
  auto& word = control().claim;
  std::uint64_t old = word.load(std::memory_order_acquire);
  Claim next;
  do {
    next = Claim::unpack(old);
    if (next.open() == 0) return std::nullopt;
    ++next.claimed;
  } while (!word.compare_exchange_weak(old, next.pack(), std::memory_order_acq_rel));
  number_ = next.claimed;
  // How far the slave has written is its own affair; that the record is there, the claim says.
  return tasks_.read(tasks_.position() + control().ring_size);
}

void WorkerEnd::release_record() {
  control().task_read.store(tasks_.position(), std::memory_order_release);
}

void WorkerEnd::begin(std::uint64_t now) {
  control().progress.store(0, std::memory_order_relaxed);
  control().started_at.store(now, std::memory_order_release);
}

void WorkerEnd::finish() {
  control().finished.store(number_, std::memory_order_release);
}

void WorkerEnd::end() {
  control().started_at.store(0, std::memory_order_relaxed);
  finish();
}

bool WorkerEnd::put(std::span<const std::byte> record, Bell bell) {
  for (;;) {
    // What the write failed with is what must not have changed before we sleep.
    const Position seen = control().outcome_read.load(std::memory_order_seq_cst);
    if (outcomes_.write(record, seen)) break;
    control().worker_sleeps.store(kForRoom, std::memory_order_seq_cst);
    if (control().outcome_read.load(std::memory_order_seq_cst) != seen) {
      control().worker_sleeps.store(kAwake, std::memory_order_relaxed);
      continue;
    }
    wake_slave();
    if (doorbell_.wait() == Doorbell::Heard::closed) return false;
  }
  control().outcome_written.store(outcomes_.position(), std::memory_order_seq_cst);
  if (bell == Bell::at_once || is_awaited()) wake_slave();
  return true;
}

bool WorkerEnd::is_awaited() const {
  const std::uint32_t from = control().ring_from.load(std::memory_order_seq_cst);
  const Position unread =
      outcomes_.position() - control().outcome_read.load(std::memory_order_relaxed);
  return static_cast<std::int32_t>(number_ - from) >= 0 || unread > control().ring_size / 2;
}

void WorkerEnd::wake_slave() {
  if (control().slave_sleeps.load(std::memory_order_seq_cst) != 0 &&
      control().slave_sleeps.exchange(0, std::memory_order_seq_cst) != 0)
    doorbell_.ring();
}

bool WorkerEnd::send_value(std::uint64_t id, int memfd) {
  try {
    while (!doorbell_.send_value(id, memfd)) {
      pollfd writable{doorbell_.fd(), POLLOUT, 0};
      ::poll(&writable, 1, -1);
      if (writable.revents & (POLLERR | POLLHUP)) return false;
    }
    return true;
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::broken_pipe || error.code() == std::errc::connection_reset)
      return false;
    throw;
  }
}

std::optional<UniqueFd> WorkerEnd::wait_value(std::uint64_t id) {
  for (auto heard = doorbell_.listen();; heard = doorbell_.wait()) {
    auto fd = doorbell_.take_value(id);
    if (fd || heard == Doorbell::Heard::closed) return fd;
  }
}

UniqueFd WorkerEnd::take_lent() {
  doorbell_.listen();
  return doorbell_.take_lent(number_);
}

bool WorkerEnd::ready() const {
  return Claim::unpack(control().claim.load(std::memory_order_seq_cst)).open() != 0;
}

bool WorkerEnd::wait() {
  const auto begin = std::chrono::steady_clock::now();
  const bool open = spin_until_ready(begin) || sleep_until_ready();
  spin_.waited(std::chrono::steady_clock::now() - begin);
  return open;
}

bool WorkerEnd::spin_until_ready(std::chrono::steady_clock::time_point begin) const {
  const auto limit = spin_.limit();
  if (limit == SpinPolicy::Duration(0)) return false;
  do {
    for (int i = 0; i < kLooks; ++i)
      if (ready()) return true;
    // Whoever has something to do goes first, above all who would give us something.
    ::sched_yield();
  } while (std::chrono::steady_clock::now() - begin < limit);
  return false;
}

bool WorkerEnd::sleep_until_ready() {
  control().worker_sleeps.store(kForRecords, std::memory_order_seq_cst);
  if (ready()) {
    control().worker_sleeps.store(kAwake, std::memory_order_relaxed);
    return true;
  }
  if (when_idle_) {
    // Asleep all the while, as the slave sees it: its bell waits in the socket.
    pollfd readable{doorbell_.fd(), POLLIN, 0};
    if (::poll(&readable, 1, kIdle) == 0) std::exchange(when_idle_, nullptr)();
  }
  return doorbell_.wait() != Doorbell::Heard::closed;
}

bool WorkerEnd::wait_output_drained(std::uint32_t number) {
  // The futex cannot tell that the slave died, so look at the socket now and then; a keeper kills
  // us in that case anyway.
  constexpr timespec kLook{1, 0};
  for (;;) {
    const std::uint32_t drained = control().output_drained.load(std::memory_order_acquire);
    if (drained == number) return true;
    wait_while(control().output_drained, drained, &kLook);
    if (doorbell_.listen() == Doorbell::Heard::closed) return false;
  }
}

bool WorkerEnd::cancelled(std::uint32_t number) const {
  return control().cancelled.load(std::memory_order_acquire) == number + 1;
}

std::uint32_t WorkerEnd::wait_cancel_word(std::uint32_t seen) const {
  for (;;) {
    const std::uint32_t word = control().cancelled.load(std::memory_order_acquire);
    if (word != seen) return word;
    wait_while(control().cancelled, seen, nullptr);
  }
}

void WorkerEnd::set_progress(float fraction) {
  const float clamped = std::clamp(fraction, 0.0F, 1.0F);
  control().progress.store(static_cast<std::uint32_t>(clamped * 1e6F) + 1,
                           std::memory_order_relaxed);
}

}  // namespace knee::channel
