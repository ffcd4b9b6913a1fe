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

/// The whole pages of a range.
std::span<std::byte> pages_of(std::byte* begin, std::size_t size) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(begin);
  const auto from = (first + page - 1) / page * page;
  const auto to = (first + size) / page * page;
  if (to <= from) return {};
  return {begin + (from - first), to - from};
}

std::byte* take_kept(std::size_t& capacity) {
  std::byte* const block = kept.exchange(nullptr, std::memory_order_acq_rel);
  if (block == nullptr) return nullptr;
  std::size_t size = 0;
  std::memcpy(&size, block, sizeof size);
  if (size >= capacity && size / 2 < capacity) {
    capacity = size;
    return block;
  }
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
  if (capacity <= kMostKept) {
    std::memcpy(block, &capacity, sizeof capacity);
    // The first page stays: it says how large the block is.
    const auto pages = pages_of(block + sizeof capacity, capacity - sizeof capacity);
    ::madvise(pages.data(), pages.size(), MADV_FREE);
    block = kept.exchange(block, std::memory_order_acq_rel);
  }
  std::free(block);
}

void LargeBlock::prefer_large_pages(void* begin, std::size_t size) noexcept {
  if (size < kLeast) return;
  const auto pages = pages_of(static_cast<std::byte*>(begin), size);
  ::madvise(pages.data(), pages.size(), MADV_HUGEPAGE);
}

}  // namespace knee::detail
