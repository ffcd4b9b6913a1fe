#pragma once

#include <utility>

namespace knee::process {

/// Owns one open file descriptor; destruction closes it. Movable, not copyable.
class Descriptor {
 public:
  Descriptor() = default;
  /// Takes over `fd`; -1 means none.
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
  void reset() noexcept;

 private:
  int fd_ = -1;
};

/// Closes every descriptor of this process except 0, 1, 2 and `kept`. By close_range where the
/// kernel has it (5.9), else by /proc/self/fd, else by trying every number up to the limit. Only
/// for a process of a single thread that has just begun: it closes what others think they own.
void close_all_but(int kept);

/// Something to read from that is always at its end: /dev/null, or an empty pipe in a root folder
/// without devices. Close-on-exec. Throws std::system_error.
Descriptor open_empty_input();

/// Opens /dev/null as whichever of 0, 1 and 2 is closed: else the next file or socket that is
/// opened lands there, and is read or written as a standard stream.
void fill_standard_streams();

}  // namespace knee::process
