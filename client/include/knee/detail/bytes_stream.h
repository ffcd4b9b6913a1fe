#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>

#include <knee/detail/bytes.h>

/// The two ends of encoded values: bytes that grow, and bytes that are checked as they are taken.
namespace knee::detail {

/// Bytes that cannot be the value they are read as: damaged, or written by a program in which the
/// type looked different.
class [[gnu::visibility("default")]] DecodeError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where encoded values go. Borrows the bytes. `context` is nobody's business but that of the
/// ContextCodec of the types that need it.
struct ByteSink {
  Bytes& bytes;
  void* context = nullptr;

  ByteSink& sink() noexcept { return *this; }
};

/// Where encoded values come from. Borrows the bytes.
struct ByteSource {
  const std::byte* at;
  const std::byte* end;
  const std::byte* begin;
  void* context = nullptr;

  explicit ByteSource(std::span<const std::byte> bytes, void* its_context = nullptr) noexcept
      : at(bytes.data()), end(at + bytes.size()), begin(at), context(its_context) {}

  ByteSource& source() noexcept { return *this; }

  std::size_t left() const noexcept { return static_cast<std::size_t>(end - at); }

  /// The next `count` bytes. Throws DecodeError if there are fewer.
  const std::byte* take(std::size_t count) {
    if (count > left()) [[unlikely]]
      fail_short(count);
    const std::byte* const taken = at;
    at += count;
    return taken;
  }

  /// Reads a number of elements of at least `element_size` bytes each; throws DecodeError, before
  /// anybody allocates, if so many cannot follow.
  std::size_t take_count(std::size_t element_size) {
    std::uint64_t count = 0;
    std::memcpy(&count, take(sizeof count), sizeof count);
    if (count > left() / element_size) [[unlikely]]
      fail_count(count);
    return static_cast<std::size_t>(count);
  }

  /// Throws DecodeError unless all bytes were taken.
  void expect_end() const {
    if (at != end) [[unlikely]]
      fail_end();
  }

  [[noreturn, gnu::cold, gnu::noinline]] void fail(const std::string& what) const {
    throw DecodeError("cannot decode a value: " + what + " at byte " + std::to_string(at - begin) +
                      " of " + std::to_string(end - begin) +
                      "; the bytes are damaged, or a serialize function reads something else than "
                      "it writes");
  }

 private:
  [[noreturn, gnu::cold, gnu::noinline]] void fail_short(std::size_t count) const {
    fail(std::to_string(count) + " bytes are wanted, " + std::to_string(left()) + " are left");
  }
  [[noreturn, gnu::cold, gnu::noinline]] void fail_count(std::uint64_t count) const {
    fail("a container claims " + std::to_string(count) + " elements, " + std::to_string(left()) +
         " bytes are left");
  }
  [[noreturn, gnu::cold, gnu::noinline]] void fail_end() const {
    fail(std::to_string(left()) + " bytes are left over");
  }
};

}  // namespace knee::detail
