#include "input_pins.h"

#include <algorithm>

namespace knee::slave {

PinnedInput::PinnedInput(DiskPool& disk, BlobStore& store, const Digest& digest)
    : disk_(disk), pin_(std::make_shared<std::optional<BlobPin>>()) {
  // The job outlives this: nobody waits for its promise.
  auto pinned = disk_.run([pin = pin_, &store, digest] { *pin = store.pin(digest); });
}

PinnedInput::~PinnedInput() {
  // Whichever of the two jobs is last lets go of it: never the loop, which must not wait for the
  // store's lock.
  auto released = disk_.run([pin = std::move(pin_)]() mutable { pin.reset(); });
}

InputHolds InputPins::hold(const std::vector<Digest>& digests) {
  InputHolds holds;
  for (const auto& digest : digests) {
    auto& known = pinned_[digest];
    auto held = known.lock();
    if (!held) known = held = std::make_shared<const PinnedInput>(disk_, store_, digest);
    holds.push_back(std::move(held));
  }
  if (pinned_.size() >= forget_at_) forget_released();
  return holds;
}

void InputPins::forget_released() {
  std::erase_if(pinned_, [](const auto& entry) { return entry.second.expired(); });
  forget_at_ = std::max<std::size_t>(64, 2 * pinned_.size());
}

}  // namespace knee::slave
