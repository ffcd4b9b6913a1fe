#include "freed_memory.h"

#include <knee/detail/large_block.h>
#include <malloc.h>

namespace knee::worker {
namespace {

/// A larger block is a mapping of its own, as glibc by itself makes them from 128 KiB to 32 MiB on.
[[maybe_unused]] constexpr int kLargestInHeap = 128 << 20;
[[maybe_unused]] constexpr int kMostKept = 256 << 20;

}  // namespace

void keep_freed_memory() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_THRESHOLD, kLargestInHeap);
  ::mallopt(M_TRIM_THRESHOLD, kMostKept);
#endif
}

void give_back_freed_memory() {
  detail::LargeBlock::free_kept();
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace knee::worker
