#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <span>

#include <knee/detail/large_block.h>

namespace knee::detail {

/// A growable run of bytes: an encoded value on its way into or out of a message. Move-only.
/// Up to kInline bytes live in the object itself, so small values cost no allocation. Growing
/// never fills the new part, and doubles the capacity unless a single append wants more.
/// Not thread safe. A moved-from object is empty and may be used again.
class Bytes {
 public:
  static constexpr std::size_t kInline = 24;

  Bytes() noexcept : data_(inline_) {}
  /// A copy of `from`.
  explicit Bytes(std::span<const std::byte> from) : Bytes() { append(from.data(), from.size()); }
  Bytes(Bytes&& other) noexcept : Bytes() { take(other); }
  Bytes& operator=(Bytes&& other) noexcept {
    if (this != &other) {
      free_heap();
      take(other);
    }
    return *this;
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() { free_heap(); }

  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t capacity() const noexcept { return is_inline() ? kInline : heap_capacity_; }

  std::span<const std::byte> view() const noexcept { return {data_, size_}; }
  operator std::span<const std::byte>() const noexcept { return view(); }

  /// Copies `count` bytes to the end. `from` must not point into this object.
  void append(const void* from, std::size_t count) {
    if (count != 0) std::memcpy(extend(count), from, count);
  }

  /// Adds `count` bytes of unspecified content to the end and returns where they begin.
  /// Throws std::bad_alloc and changes nothing if memory is short.
  std::byte* extend(std::size_t count) {
    if (count > capacity() - size_) [[unlikely]]
      grow(count);
    std::byte* const begin = data_ + size_;
    size_ += count;
    return begin;
  }

  void reserve(std::size_t capacity_wanted) {
    if (capacity_wanted > capacity()) reallocate(capacity_wanted);
  }

  /// Cuts off the end: `new_size` must not exceed size().
  void truncate(std::size_t new_size) noexcept { size_ = new_size; }
  /// Empties and keeps the capacity.
  void clear() noexcept { size_ = 0; }

 private:
  bool is_inline() const noexcept { return data_ == inline_; }

  void free_heap() noexcept {
    if (is_inline()) return;
    if (heap_capacity_ >= LargeBlock::kLeast)
      LargeBlock::give_back(data_, heap_capacity_);
    else
      std::free(data_);
  }

  // Leaves `other` empty; what this object held must be gone already.
  void take(Bytes& other) noexcept {
    if (other.is_inline()) {
      data_ = inline_;
      // All of it, for the sake of a constant size; but not of an empty one, where compilers see
      // that it is uninitialized.
      if (other.size_ != 0) std::memcpy(inline_, other.inline_, kInline);
    } else {
      data_ = other.data_;
      heap_capacity_ = other.heap_capacity_;
      other.data_ = other.inline_;
    }
    size_ = other.size_;
    other.size_ = 0;
  }

  [[gnu::noinline]] void grow(std::size_t count) {
    constexpr std::size_t kMost = std::numeric_limits<std::ptrdiff_t>::max();
    if (count > kMost - size_) throw std::bad_alloc();
    const std::size_t needed = size_ + count;
    const std::size_t doubled = capacity() > kMost / 2 ? kMost : 2 * capacity();
    reallocate(needed > doubled ? needed : doubled);
  }

  // realloc, because for large buffers the kernel moves pages instead of bytes.
  void reallocate(std::size_t new_capacity) {
    const bool first_large = capacity() < LargeBlock::kLeast && new_capacity >= LargeBlock::kLeast;
    std::byte* moved = nullptr;
    if (first_large) {
      moved = LargeBlock::take(new_capacity);
    } else {
      moved = static_cast<std::byte*>(std::realloc(is_inline() ? nullptr : data_, new_capacity));
      if (moved == nullptr) throw std::bad_alloc();
      LargeBlock::prefer_large_pages(moved, new_capacity);
    }
    if (is_inline() || first_large) std::memcpy(moved, data_, size_);
    if (first_large) free_heap();
    data_ = moved;
    heap_capacity_ = new_capacity;
  }

  std::byte* data_;
  std::size_t size_ = 0;
  union {
    std::size_t heap_capacity_;
    std::byte inline_[kInline];
  };
};

static_assert(sizeof(Bytes) <= 40);

}  // namespace knee::detail
