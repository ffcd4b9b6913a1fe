#include "ring.h"

#include <cstring>
#include <stdexcept>

namespace knee::channel {
namespace {

constexpr std::size_t kHeader = 8;
constexpr std::uint32_t kFiller = 0xffffffff;

std::size_t padded(std::size_t size) {
  return (size + 7) & ~std::size_t{7};
}

}  // namespace

std::size_t RingWriter::needed(std::size_t record) const {
  const std::size_t size = kHeader + padded(record);
  return size <= to_end() ? size : to_end() + size;
}

bool RingWriter::has_room(std::size_t record, Position read) const {
  const std::size_t bytes = needed(record);
  // `read` comes from the other side, who may claim to have read what was never written.
  return bytes <= memory_.size() && position_ + bytes - read <= memory_.size();
}

bool RingWriter::write(std::span<const std::byte> record, Position read) {
  if (!has_room(record.size(), read)) return false;
  const Position end = position_ + needed(record.size());
  std::size_t at = memory_.size() - to_end();
  if (kHeader + padded(record.size()) > to_end()) {
    std::memcpy(&memory_[at], &kFiller, sizeof kFiller);
    at = 0;
  }
  const auto length = static_cast<std::uint32_t>(record.size());
  std::memcpy(&memory_[at], &length, sizeof length);
  if (!record.empty()) std::memcpy(&memory_[at + kHeader], record.data(), record.size());
  position_ = end;
  return true;
}

std::optional<std::span<const std::byte>> RingReader::read(Position written) {
  while (position_ != written) {
    if (written - position_ > memory_.size())
      throw std::runtime_error("channel: the writer's position is beyond the ring");
    const std::size_t offset = position_ & (memory_.size() - 1);
    const std::size_t to_end = memory_.size() - offset;
    std::uint32_t length = 0;  // read once: the other side could change it between two looks
    std::memcpy(&length, &memory_[offset], sizeof length);
    if (length == kFiller) {
      if (to_end >= written - position_)
        throw std::runtime_error("channel: filler without a record");
      position_ += to_end;
      continue;
    }
    const std::size_t size = kHeader + padded(length);
    if (size > to_end || size > written - position_)
      throw std::runtime_error("channel: a record is longer than what was written");
    position_ += size;
    return memory_.subspan(offset + kHeader, length);
  }
  return std::nullopt;
}

}  // namespace knee::channel
