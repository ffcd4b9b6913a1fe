#pragma once

#include <filesystem>
#include <utility>

#include "slave/store/store_index.h"

namespace knee::slave {

class Shelf;

/// Protects one blob or derived folder of a store from eviction by any process, until destroyed.
/// Movable; may be destroyed by any thread, before its store. Blocks shortly when destroyed.
///
/// A default-made or moved-from pin protects nothing; it may only be assigned to or destroyed.
class StorePin {
 public:
  StorePin() = default;
  StorePin(StorePin&& other) noexcept
      : shelf_(std::exchange(other.shelf_, nullptr)), key_(other.key_) {}
  StorePin& operator=(StorePin&& other) noexcept {
    std::swap(shelf_, other.shelf_);
    std::swap(key_, other.key_);
    return *this;
  }
  ~StorePin();

  const Digest& digest() const { return key_.digest; }

  /// The blob's file (mode 0500, so that a static program can be run as it is) or the folder.
  /// Nobody may change it, nor make hard links to a blob: its link count would change, and it would
  /// have to be hashed again.
  std::filesystem::path path() const;

 private:
  friend class Shelf;
  StorePin(Shelf& shelf, const EntryKey& key) : shelf_(&shelf), key_(key) {}

  Shelf* shelf_ = nullptr;
  EntryKey key_;
};

using BlobPin = StorePin;
using DerivedPin = StorePin;

}  // namespace knee::slave
