#pragma once
#include <cstddef>
#include <optional>
#include <vector>

#include "common/channel/shared_memory.h"

namespace knee::slave {

/// Shared memory of values that nobody needs any more, kept for a moment for the next ones: the
/// pages of many megabytes of fresh memory cost more than all copies of what goes into them
/// (docs/design/decisions/0011-memory-is-used-again.md).
///
/// Of one session, since who had the memory may still see it. Plain data on the loop thread; it
/// knows no clock, its owner tells it that time passes.
class SpareMemory {
 public:
  /// All that is kept and lent, at most: a few large values on their way or being computed.
  static constexpr std::size_t kMost = std::size_t{256} << 20;

  SpareMemory() = default;
  SpareMemory(const SpareMemory&) = delete;
  ~SpareMemory();

  /// Memory for `size` bytes: some that was kept, or else new. Throws std::system_error.
  channel::SharedMemory take(std::size_t size);
  /// The content is not needed any more.
  void keep(channel::SharedMemory memory);

  /// Some that was kept, for a value of about `size` bytes that is yet to come. It counts as kept
  /// until `returned`.
  std::optional<channel::SharedMemory> lend(std::size_t size);
  void returned(std::size_t capacity) { lent_ -= capacity; }

  /// A second or so has passed: frees what was not wanted since the last call but one.
  void age();
  bool empty() const { return kept_.empty(); }
  /// Bytes kept, not counting what is lent.
  std::size_t bytes() const { return bytes_; }

 private:
  struct Kept {
    channel::SharedMemory memory;
    bool old = false;
  };
  std::optional<channel::SharedMemory> take_kept(std::size_t size);

  std::vector<Kept> kept_;  ///< what came last is last
  std::size_t bytes_ = 0;
  std::size_t lent_ = 0;
};

}  // namespace knee::slave
