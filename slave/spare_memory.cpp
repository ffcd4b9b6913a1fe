#include "spare_memory.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace knee::slave {
namespace {

/// Of descriptors and mappings: values of 60 KiB do not fill kMost with thousands of them.
constexpr std::size_t kMostPieces = 64;

bool fits(std::size_t capacity, std::size_t size) {
  return capacity >= size && capacity / 2 <= size;
}

}  // namespace

SpareMemory::~SpareMemory() {
  // Somebody may still hold a descriptor; the pages are to be free nevertheless.
  for (const auto& kept : kept_) kept.memory.discard();
}

channel::SharedMemory SpareMemory::take(std::size_t size) {
  if (auto memory = take_kept(size)) return std::move(*memory);
  return channel::SharedMemory::create("knee-value", size);
}

void SpareMemory::keep(channel::SharedMemory memory) {
  const std::size_t capacity = memory.capacity();
  if (kept_.size() >= kMostPieces || bytes_ + lent_ + capacity > kMost) return memory.discard();
  bytes_ += capacity;
  kept_.push_back({std::move(memory)});
}

std::optional<channel::SharedMemory> SpareMemory::lend(std::size_t size) {
  auto memory = take_kept(size);
  if (memory) lent_ += memory->capacity();
  return memory;
}

std::optional<channel::SharedMemory> SpareMemory::take_kept(std::size_t size) {
  // The last one first: its pages are the likeliest to be in a cache.
  const auto found = std::find_if(kept_.rbegin(), kept_.rend(), [size](const Kept& kept) {
    return fits(kept.memory.capacity(), size);
  });
  if (found == kept_.rend()) return std::nullopt;
  channel::SharedMemory memory = std::move(found->memory);
  kept_.erase(std::next(found).base());
  bytes_ -= memory.capacity();
  memory.resize(size);
  return memory;
}

void SpareMemory::age() {
  std::erase_if(kept_, [this](const Kept& kept) {
    if (!kept.old) return false;
    kept.memory.discard();
    bytes_ -= kept.memory.capacity();
    return true;
  });
  for (auto& kept : kept_) kept.old = true;
}

}  // namespace knee::slave
