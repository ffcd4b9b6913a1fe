#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>

#include "slave/store/store_pin.h"

namespace knee::slave {

/// There is no room for a blob as long as others are in use. That may pass.
struct StoreInUse : std::runtime_error {
  using runtime_error::runtime_error;
};

/// Receives one blob. Made by BlobStore::begin(), which reserved its room. Movable; one thread at a
/// time, not always the same. Destruction without commit() removes what was written.
class BlobWriter {
 public:
  BlobWriter(BlobWriter&&) noexcept;
  BlobWriter& operator=(BlobWriter&&) noexcept;
  ~BlobWriter();

  /// Appends. Throws std::runtime_error if that is more than the announced size, and
  /// std::system_error if the disk does not take it; the writer can then only be destroyed.
  void write(std::span<const std::byte> bytes);

  /// Checks size and hash and puts the blob into the store, protected by the pin. Throws
  /// std::runtime_error that names both hashes if the content is not what was announced, and
  /// nothing is left in the store. If somebody else committed the same blob meanwhile, that one
  /// stays and this one is dropped. To be called once, as the last call.
  BlobPin commit();

 private:
  friend class BlobStore;
  struct Incoming;

  BlobWriter(Shelf& shelf, const EntryKey& key, std::uint64_t size);

  std::unique_ptr<Incoming> incoming_;
};

}  // namespace knee::slave
