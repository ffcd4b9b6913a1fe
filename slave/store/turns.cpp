#include "slave/store/turns.h"

namespace knee::slave {

Turns::Turn::Turn(Turns& turns, const EntryKey& key) : turns_(turns), key_(key) {
  std::unique_lock lock(turns_.mutex_);
  turns_.ended_.wait(lock, [this] { return turns_.taken_.count(key_) == 0; });
  turns_.taken_.insert(key_);
}

Turns::Turn::~Turn() {
  {
    const std::lock_guard lock(turns_.mutex_);
    turns_.taken_.erase(key_);
  }
  turns_.ended_.notify_all();
}

}  // namespace knee::slave
