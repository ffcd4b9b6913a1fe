#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace knee::process {

/// Appends numbers (as they lie in memory: both ends are the same executable on the same machine)
/// and length-prefixed strings to a byte vector.
class Packer {
 public:
  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void number(T value) { append(&value, sizeof value); }
  void text(std::string_view value) {
    number(static_cast<std::uint64_t>(value.size()));
    append(value.data(), value.size());
  }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(const void* data, std::size_t size) {
    const auto* first = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), first, first + size);
  }
  std::vector<std::byte> bytes_;
};

/// Reads back what a Packer wrote, in the same order. Borrows the bytes. Every call throws
/// std::runtime_error when the bytes end too early.
class Unpacker {
 public:
  explicit Unpacker(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <typename T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void number(T& value) {
    const auto bytes = cut(sizeof value);
    if constexpr (std::is_same_v<T, bool>)
      value = bytes[0] != std::byte{0};  // other bytes than 0 and 1 must not become a bool
    else
      std::memcpy(&value, bytes.data(), sizeof value);
  }
  template <typename T>
  T number() {
    T value{};
    number(value);
    return value;
  }
  std::string text() {
    const auto part = cut(number<std::uint64_t>());
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  /// How many elements of at least `least_size` bytes follow; refuses more than the bytes can hold,
  /// so that a broken count never makes a large allocation.
  std::size_t count(std::size_t least_size) {
    const auto wanted = number<std::uint64_t>();
    if (wanted > rest_.size() / least_size) refuse();
    return wanted;
  }

 private:
  [[noreturn]] static void refuse() {
    throw std::runtime_error("a message between knee-slave and its keeper is cut short");
  }
  std::span<const std::byte> cut(std::uint64_t size) {
    if (size > rest_.size()) refuse();
    const auto part = rest_.first(size);
    rest_ = rest_.subspan(size);
    return part;
  }
  std::span<const std::byte> rest_;
};

}  // namespace knee::process
