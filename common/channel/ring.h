#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// Byte rings with one writer and one reader: the arithmetic, without the atomics that publish it.
///
/// Positions count bytes since the beginning and never wrap; a place in memory is a position modulo
/// the ring's size. A record is 8 bytes of header and its bytes, padded to 8, contiguous in memory:
/// where it would cross the ring's end a filler record covers the rest.
namespace knee::channel {

using Position = std::uint64_t;

/// Places records. Not thread-safe; belongs to the writing side, whose memory it keeps outside the
/// shared one.
class RingWriter {
 public:
  /// `memory` outlives the writer; its size is a power of two.
  explicit RingWriter(std::span<std::byte> memory) : memory_(memory) {}

  /// Copies `record` behind the last one if it fits before the reader's position. False: no room.
  bool write(std::span<const std::byte> record, Position read);
  /// Whether a record of that many bytes would fit.
  bool has_room(std::size_t record, Position read) const;

  /// Where the next record (or the filler before it) begins.
  Position position() const { return position_; }

  /// Forgets all records from `position` on, which the reader must not have begun.
  void rewind(Position position) { position_ = position; }

 private:
  std::size_t to_end() const { return memory_.size() - (position_ & (memory_.size() - 1)); }
  /// Bytes it takes, with the filler before it.
  std::size_t needed(std::size_t record) const;

  std::span<std::byte> memory_;
  Position position_ = 0;
};

/// Finds records. Trusts nothing in the memory: a size that cannot be is an error, not an access.
class RingReader {
 public:
  explicit RingReader(std::span<const std::byte> memory) : memory_(memory) {}

  /// The record at the current position, in place, valid until the reader publishes a later
  /// position; empty if `written` has not passed it. Throws std::runtime_error on a record that
  /// cannot be.
  std::optional<std::span<const std::byte>> read(Position written);

  /// Everything before it has been read.
  Position position() const { return position_; }

 private:
  std::span<const std::byte> memory_;
  Position position_ = 0;
};

}  // namespace knee::channel
