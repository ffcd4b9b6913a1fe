#pragma once
#include <cstddef>

#include <knee/detail/export.h>

namespace knee::detail {

/// Memory for encoded values of many megabytes. Fresh pages of such a size cost more than the
/// copies into them, so the process keeps one block that was given back, the largest, until `age`
/// has found it twice without a use. Any thread.
class KNEE_EXPORT LargeBlock {
 public:
  /// From this size on blocks come from here.
  static constexpr std::size_t kLeast = std::size_t{4} << 20;
  /// A block larger than this is not kept.
  static constexpr std::size_t kMostKept = std::size_t{128} << 20;

  /// A block of `capacity` bytes, at least as many as it was on entry and less than twice that. Its
  /// content is unspecified. To be given to `give_back`. Throws std::bad_alloc.
  static std::byte* take(std::size_t& capacity);
  static void give_back(std::byte* block, std::size_t capacity) noexcept;

  /// Frees the block that is kept if it has been since the last call. To be called every few
  /// seconds.
  static void age() noexcept;
  /// Frees the block that is kept.
  static void free_kept() noexcept;

  /// For tens of megabytes the faults of small pages would cost more than all copies. Only a hint
  /// to the kernel about fresh memory, but for both ends, where no large page fits: those are
  /// faulted in. Does nothing for less than kLeast.
  static void prefer_large_pages(void* begin, std::size_t size) noexcept;

  /// Fresh memory of which all is written next: one call to the kernel instead of a fault for each
  /// page, which is most of the price where it cannot have large pages, on a virtual machine
  /// above all. Does nothing for less than a megabyte.
  static void fault_in(void* begin, std::size_t size) noexcept;
};

}  // namespace knee::detail
