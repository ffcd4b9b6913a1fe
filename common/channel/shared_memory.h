#pragma once
#include <cstddef>
#include <span>

#include "common/base/unique_fd.h"

namespace knee::channel {

/// A mapping of a memfd; unmapped on destruction. The bytes may change under the reader's eyes when
/// another process has them too.
class SharedMemory {
 public:
  /// A new zeroed memfd, sealed so that nobody can change its size (a shrunk file would mean
  /// SIGBUS for whoever touches it). `name` shows up in /proc/PID/fd.
  static SharedMemory create(const char* name, std::size_t size);

  /// Maps an existing one whole. Throws when it is not sealed against shrinking or not `size` long
  /// (`size` 0: any length).
  static SharedMemory map(UniqueFd fd, std::size_t size = 0);

  /// A sealed memfd that is filled by `write_at` and not mapped here: the kernel then neither
  /// zeroes its pages first nor takes a fault for each.
  static UniqueFd create_unmapped(const char* name, std::size_t size);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  std::span<std::byte> bytes() const { return bytes_; }
  /// All of it will be read now: takes the pages in at once, where the kernel can do that, in place
  /// of a fault for every few.
  void expect_reading() const;
  int fd() const { return fd_.get(); }

 private:
  SharedMemory(UniqueFd fd, std::span<std::byte> bytes) : fd_(std::move(fd)), bytes_(bytes) {}

  UniqueFd fd_;
  std::span<std::byte> bytes_;
};

/// Writes all of `bytes` at `offset`. Throws std::system_error if memory is short.
void write_at(int memfd, std::span<const std::byte> bytes, std::size_t offset);

}  // namespace knee::channel
