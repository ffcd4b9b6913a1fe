#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace knee::driver {

/// The slaves that have credit, filed by size and by how much one wants to send to them, so that
/// the best of ten thousand is found in constant time. Slaves of one drawer take turns.
class ReadySlaves {
 public:
  static constexpr unsigned kSizes = 16;   ///< size s: 2^s to 2^(s+1)-1 slots, the last: and more
  static constexpr unsigned kLevels = 24;  ///< 0 is wanted most
  static constexpr std::uint8_t kUnfiled = 0xff;
  static constexpr std::uint32_t kNobody = UINT32_MAX;

  ReadySlaves();
  static std::uint8_t size_of(std::uint32_t slots);

  /// Files `slave` (a dense index) or moves it; with kUnfiled, takes it out.
  void file(std::uint32_t slave, std::uint8_t size, std::uint8_t level);
  std::uint8_t level(std::uint32_t slave) const { return links_[slave].level; }
  void reserve(std::uint32_t slaves) {
    if (links_.size() < slaves) links_.resize(slaves);
  }

  /// The best slave of at least this size on a level of `levels` (bit n: level n), the larger of
  /// equals; kNobody if there is none.
  std::uint32_t best(std::uint8_t least_size, std::uint32_t levels) const;

 private:
  struct Links {
    std::uint32_t prev = kNobody;
    std::uint32_t next = kNobody;
    std::uint8_t size = 0;
    std::uint8_t level = kUnfiled;
  };
  struct Drawer {
    std::uint32_t head = kNobody;
    std::uint32_t tail = kNobody;
  };

  void append(std::uint32_t slave);
  void unlink(std::uint32_t slave);

  std::vector<Links> links_;  // by slave
  std::array<std::array<Drawer, kLevels>, kSizes> drawers_;
  std::array<std::uint32_t, kSizes> filled_{};  // bit n: the drawer of level n is not empty
};

}  // namespace knee::driver
