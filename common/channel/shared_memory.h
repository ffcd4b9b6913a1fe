#pragma once
#include <cstddef>
#include <span>

#include "common/base/unique_fd.h"

namespace knee::channel {

/// A mapping of a memfd, which may be longer than its content; unmapped on destruction. The bytes
/// may change under the reader's eyes when another process has them too.
class SharedMemory {
 public:
  /// A new zeroed memfd, sealed so that nobody can change its size (a shrunk file would mean
  /// SIGBUS for whoever touches it). `name` shows up in /proc/PID/fd.
  static SharedMemory create(const char* name, std::size_t size);

  /// Maps an existing one. Throws when it is not sealed against shrinking or shorter than `size`.
  static SharedMemory map(UniqueFd fd, std::size_t size);
  /// The same for one whose content is all of it.
  static SharedMemory map(UniqueFd fd);

  /// A sealed memfd that is filled by `write_at` and not mapped here: the kernel then neither
  /// zeroes its pages first nor takes a fault for each.
  static UniqueFd create_unmapped(const char* name, std::size_t size);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  /// The content.
  std::span<std::byte> bytes() const { return mapped_.first(size_); }
  std::size_t capacity() const { return mapped_.size(); }
  /// Makes its first `size` bytes, at most `capacity()`, the content.
  void resize(std::size_t size) { size_ = size; }
  /// Gives all its pages back to the kernel, whoever else has it; the bytes are zero then.
  void discard() const;
  /// All of it will be read now: takes the pages in at once, where the kernel can do that, in place
  /// of a fault for every few.
  void expect_reading() const;
  int fd() const { return fd_.get(); }

 private:
  SharedMemory(UniqueFd fd, std::span<std::byte> mapped, std::size_t size)
      : fd_(std::move(fd)), mapped_(mapped), size_(size) {}

  UniqueFd fd_;
  std::span<std::byte> mapped_;
  std::size_t size_ = 0;
};

/// Whether two descriptors mean the same memory.
bool is_same(int one_memfd, int other_memfd);

/// Length of a memfd. Throws std::system_error.
std::size_t size_of(int memfd);

/// Writes all of `bytes` at `offset`. Throws std::system_error if memory is short.
void write_at(int memfd, std::span<const std::byte> bytes, std::size_t offset);

}  // namespace knee::channel
