#include <knee/detail/large_block.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>

namespace knee::detail {
namespace {

/// The block that is kept, or null. Its capacity stands in its first bytes.
std::atomic<std::byte*> kept{nullptr};
/// Blocks kept so far, and how many those were when `age` looked last.
std::atomic<std::uint64_t> given_back{0};
std::atomic<std::uint64_t> seen{0};

#ifndef MADV_POPULATE_WRITE
constexpr int MADV_POPULATE_WRITE = 23;  // Linux 5.14; older ones refuse it
#endif

/// Of most machines; elsewhere a little more or less is faulted in one by one.
constexpr std::size_t kLargePage = std::size_t{2} << 20;

/// The whole pages of a range.
std::span<std::byte> pages_of(std::byte* begin, std::size_t size) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  const auto from = (first + page - 1) / page * page;
  const auto to = (first + size) / page * page;
  if (to <= from) return {};
  return {begin + (from - first), to - from};
}

void populate(std::byte* begin, std::size_t size) {
  const auto pages = pages_of(begin, size);
  if (!pages.empty()) ::madvise(pages.data(), pages.size(), MADV_POPULATE_WRITE);
}

std::size_t capacity_of(const std::byte* block) {
  std::size_t capacity = 0;
  std::memcpy(&capacity, block, sizeof capacity);
  return capacity;
}

/// Unless another thread has been quicker.
void keep(std::byte* block) {
  std::byte* none = nullptr;
  if (!kept.compare_exchange_strong(none, block, std::memory_order_acq_rel)) std::free(block);
}

std::byte* take_kept(std::size_t& capacity) {
  std::byte* const block = kept.exchange(nullptr, std::memory_order_acq_rel);
  if (block == nullptr) return nullptr;
  const std::size_t size = capacity_of(block);
  if (size >= capacity && size / 2 < capacity) {
    capacity = size;
    return block;
  }
  if (size > capacity)
    keep(block);
  else
    std::free(block);
  return nullptr;
}

}  // namespace

std::byte* LargeBlock::take(std::size_t& capacity) {
  if (std::byte* const block = take_kept(capacity)) return block;
  auto* const block = static_cast<std::byte*>(std::malloc(capacity));
  if (block == nullptr) throw std::bad_alloc();
  prefer_large_pages(block, capacity);
  return block;
}

void LargeBlock::give_back(std::byte* block, std::size_t capacity) noexcept {
  if (capacity > kMostKept) return std::free(block);
  std::byte* const other = kept.exchange(nullptr, std::memory_order_acq_rel);
  if (other != nullptr && capacity_of(other) > capacity) {
    std::free(block);
    return keep(other);
  }
  std::free(other);
  std::memcpy(block, &capacity, sizeof capacity);
  given_back.fetch_add(1, std::memory_order_relaxed);
  keep(block);
}

void LargeBlock::age() noexcept {
  const auto now = given_back.load(std::memory_order_relaxed);
  if (seen.exchange(now, std::memory_order_relaxed) == now) free_kept();
}

void LargeBlock::free_kept() noexcept {
  std::free(kept.exchange(nullptr, std::memory_order_acq_rel));
}

void LargeBlock::prefer_large_pages(void* begin, std::size_t size) noexcept {
  if (size < kLeast) return;
  auto* const first = static_cast<std::byte*>(begin);
  const auto pages = pages_of(first, size);
  ::madvise(pages.data(), pages.size(), MADV_HUGEPAGE);
  const auto before = reinterpret_cast<std::uintptr_t>(first) % kLargePage;
  const std::size_t head = before == 0 ? 0 : kLargePage - before;
  const std::size_t tail = (size - head) % kLargePage;
  populate(first, head);
  populate(first + size - tail, tail);
}

void LargeBlock::fault_in(void* begin, std::size_t size) noexcept {
  constexpr std::size_t kWorthACall = std::size_t{1} << 20;
  if (size >= kWorthACall) populate(static_cast<std::byte*>(begin), size);
}

}  // namespace knee::detail
