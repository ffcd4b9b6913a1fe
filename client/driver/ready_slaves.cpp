#include "client/driver/ready_slaves.h"

#include <algorithm>
#include <bit>

namespace knee::driver {

ReadySlaves::ReadySlaves() = default;

std::uint8_t ReadySlaves::size_of(std::uint32_t slots) {
  const unsigned size = slots == 0 ? 0 : static_cast<unsigned>(std::bit_width(slots)) - 1;
  return static_cast<std::uint8_t>(std::min(size, kSizes - 1));
}

void ReadySlaves::file(std::uint32_t slave, std::uint8_t size, std::uint8_t level) {
  Links& links = links_[slave];
  if (links.level == level && (links.size == size || level == kUnfiled)) return;
  if (links.level != kUnfiled) unlink(slave);
  links.size = size;
  links.level = level;
  if (level != kUnfiled) append(slave);
}

void ReadySlaves::append(std::uint32_t slave) {
  Links& links = links_[slave];
  Drawer& drawer = drawers_[links.size][links.level];
  links.prev = drawer.tail;
  links.next = kNobody;
  (drawer.tail == kNobody ? drawer.head : links_[drawer.tail].next) = slave;
  drawer.tail = slave;
  filled_[links.size] |= 1u << links.level;
}

void ReadySlaves::unlink(std::uint32_t slave) {
  const Links& links = links_[slave];
  Drawer& drawer = drawers_[links.size][links.level];
  (links.prev == kNobody ? drawer.head : links_[links.prev].next) = links.next;
  (links.next == kNobody ? drawer.tail : links_[links.next].prev) = links.prev;
  if (drawer.head == kNobody) filled_[links.size] &= ~(1u << links.level);
}

std::uint32_t ReadySlaves::best(std::uint8_t least_size, std::uint32_t levels) const {
  std::uint32_t filled = 0;
  for (unsigned size = least_size; size < kSizes; ++size) filled |= filled_[size];
  filled &= levels;
  if (filled == 0) return kNobody;
  const auto level = static_cast<unsigned>(std::countr_zero(filled));
  unsigned size = kSizes - 1;
  while ((filled_[size] >> level & 1) == 0) --size;
  return drawers_[size][level].head;
}

}  // namespace knee::driver
