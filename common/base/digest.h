#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace knee {

/// The SHA-256 of some bytes: the name of a blob everywhere in Knee. A plain value; all zero when
/// made by default, which no blob has.
struct Digest {
  static constexpr std::size_t kSize = 32;

  std::array<std::byte, kSize> bytes{};

  /// 64 lower-case hexadecimal digits.
  std::string hex() const;

  /// The digest that `text` names: exactly 64 hexadecimal digits of either case, else nullopt.
  static std::optional<Digest> from_hex(std::string_view text);

  /// The digest whose raw bytes are `raw`, for example out of a message: nullopt unless there are
  /// exactly kSize of them.
  static std::optional<Digest> from_bytes(std::span<const std::byte> raw);

  friend bool operator==(const Digest&, const Digest&) = default;
  friend std::strong_ordering operator<=>(const Digest&, const Digest&) = default;
};

/// Computes a Digest piece by piece. Belongs to one thread at a time; movable, not copyable. Only
/// moving into or destroying a moved-from Hasher is allowed.
class Hasher {
 public:
  /// Throws std::runtime_error if libcrypto offers no SHA-256.
  Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  /// Adds bytes. Throws std::runtime_error if libcrypto fails.
  void update(std::span<const std::byte> bytes);

  /// The digest of all bytes added since construction or the last finish(). The hasher is then as
  /// new.
  Digest finish();

  /// The same digest; the hasher goes on.
  Digest so_far() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The digest of bytes in memory. Any thread.
Digest digest_of(std::span<const std::byte> bytes);

/// The digest of a whole file, from offset 0 and whatever the descriptor's position, which stays as
/// it is. Blocks on the disk. Throws std::system_error if reading fails (the descriptor must be
/// open for reading and seekable).
Digest digest_of_file(int fd);

}  // namespace knee

/// A digest is random already: its first bytes are its hash.
template <>
struct std::hash<knee::Digest> {
  std::size_t operator()(const knee::Digest& digest) const noexcept {
    std::size_t value;
    std::memcpy(&value, digest.bytes.data(), sizeof value);
    return value;
  }
};
