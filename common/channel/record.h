#pragma once
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/debug.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>

#include "layout.h"

/// Records of a channel as Cap'n Proto messages: one segment, no framing.
namespace knee::channel {

/// Builds one record after another in the same scratch memory. Not thread-safe.
class RecordBuilder {
 public:
  RecordBuilder() : scratch_(new_pages()) {}

  /// Calls `fill(root builder)` and returns the record's bytes, valid until the next `build`.
  /// The caller keeps what it puts in below kMaxRecord; what exceeds the scratch comes back empty.
  template <class Root, class Fill>
  std::span<const std::byte> build(Fill&& fill) {
    // The message zeroes what it used of the scratch when it ends: keep it alive until the next.
    message_.reset();
    message_.emplace(kj::arrayPtr(scratch_.get(), kWords));
    fill(message_->template initRoot<Root>());
    const auto segments = message_->getSegmentsForOutput();
    if (segments.size() != 1) return {};
    const auto bytes = segments[0].asBytes();
    return {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()};
  }
  /// Lets go of the capabilities that were put into the last record, whose bytes end with this.
  void clear() { message_.reset(); }

 private:
  static constexpr std::size_t kWords = kMaxRecord / sizeof(capnp::word) + 1024;
  static constexpr std::size_t kBytes = kWords * sizeof(capnp::word);

  struct Unmap {
    void operator()(capnp::word* words) const noexcept { ::munmap(words, kBytes); }
  };
  /// Zeroed, and memory only as far as it is used: few records come near the largest. Of calloc it
  /// would be what was freed before, zeroed all of it.
  static capnp::word* new_pages() {
    void* pages =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    return static_cast<capnp::word*>(pages);
  }

  std::unique_ptr<capnp::word[], Unmap> scratch_;
  std::optional<capnp::MallocMessageBuilder> message_;
};

/// Reads one record in place; its bytes are 8-aligned and outlive it.
class RecordReader {
 public:
  explicit RecordReader(std::span<const std::byte> record)
      : segment_(kj::arrayPtr(reinterpret_cast<const capnp::word*>(record.data()),
                              record.size() / sizeof(capnp::word))),
        message_(kj::arrayPtr(&segment_, 1)) {}

  template <class Root>
  typename Root::Reader root() {
    return message_.getRoot<Root>();
  }

  /// The same for a record of somebody who may have written anything: throws kj::Exception unless
  /// every pointer in it leads to bytes of the record, and all of them to no more than the record
  /// is long. What it says can then be copied as it is.
  template <class Root>
  typename Root::Reader checked_root() {
    const auto root = message_.getRoot<Root>();
    const auto size = root.totalSize();
    KJ_REQUIRE(size.wordCount < segment_.size() && size.capCount == 0,
               "channel: a record that repeats itself");
    return root;
  }

 private:
  kj::ArrayPtr<const capnp::word> segment_;
  capnp::SegmentArrayMessageReader message_;
};

/// A record kept outside the ring.
class StoredRecord {
 public:
  StoredRecord() = default;
  explicit StoredRecord(std::span<const std::byte> record)
      : words_(new capnp::word[record.size() / sizeof(capnp::word)]), size_(record.size()) {
    std::memcpy(words_.get(), record.data(), record.size());
  }
  std::span<const std::byte> bytes() const {
    return {reinterpret_cast<const std::byte*>(words_.get()), size_};
  }

 private:
  std::unique_ptr<capnp::word[]> words_;
  std::size_t size_ = 0;
};

}  // namespace knee::channel
