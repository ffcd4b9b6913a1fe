#pragma once

#include <condition_variable>
#include <mutex>
#include <set>

#include "slave/store/store_index.h"

namespace knee::slave {

/// Lets one thread at a time work on an entry, so that two sessions that want the same blob or
/// folder at once do not hash or make it twice. Any thread.
class Turns {
 public:
  /// The right to work on one entry, given up when destroyed.
  class Turn {
   public:
    Turn(Turns& turns, const EntryKey& key);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Turns& turns_;
    EntryKey key_;
  };

  /// Waits until no other thread has the turn of `key`. Never ends if this thread has it.
  [[nodiscard]] Turn take(const EntryKey& key) { return Turn(*this, key); }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::set<EntryKey> taken_;
};

}  // namespace knee::slave
