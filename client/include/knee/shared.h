#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <typeindex>
#include <vector>

#include <knee/codec.h>
#include <knee/detail/call_context.h>
#include <knee/detail/export.h>
#include <knee/error.h>

namespace knee {

namespace detail {

/// The encoded bytes of a shared value and their digest. Immutable; kept by the Shared values and
/// tasks that use it.
struct SharedBlob;
using DigestBytes = std::array<std::byte, 32>;

KNEE_EXPORT SharedBlobRef make_shared_blob(Bytes encoded);
KNEE_EXPORT const DigestBytes& digest_of(const SharedBlob& blob);

/// In a worker: the value with this digest as a T, decoded at its first use in this process.
using DecodeShared = std::shared_ptr<const void> (*)(std::span<const std::byte>);
KNEE_EXPORT std::shared_ptr<const void> find_shared(const DigestBytes& digest, std::type_index type,
                                                    DecodeShared decode);

}  // namespace detail

/// A large read-only value that travels to each slave once, however many tasks use it. Made by
/// Cluster::share; a task takes it as a parameter of this type, and every worker decodes it once. A
/// cheap handle, copyable, any thread.
///
///     double energy(const knee::Shared<Lattice>& lattice, int spin) { return
///     lattice->energy(spin); }
template <class T>
class Shared {
 public:
  /// Refers to nothing.
  Shared() = default;

  const T& operator*() const noexcept { return *value_; }
  const T* operator->() const noexcept { return value_.get(); }
  explicit operator bool() const noexcept { return value_ != nullptr; }

 private:
  friend class Cluster;
  friend struct detail::ContextCodec<Shared>;

  detail::SharedBlobRef blob_;  ///< in the driver
  std::shared_ptr<const T> value_;
};

template <class T>
struct detail::ContextCodec<Shared<T>> {
  static constexpr bool kDefined = true;

  static void write(ByteSink& sink, const Shared<T>& shared) {
    auto* context = static_cast<CallContext*>(sink.context);
    if (context == nullptr || shared.blob_ == nullptr)
      throw Error(
          Error::Kind::usage,
          "a knee::Shared can only be an argument of a task, and must come from Cluster::share");
    context->shared.push_back(shared.blob_);
    const DigestBytes& digest = digest_of(*shared.blob_);
    sink.bytes.append(digest.data(), digest.size());
  }

  static void read(ByteSource& source, Shared<T>& shared) {
    DigestBytes digest;
    std::memcpy(digest.data(), source.take(digest.size()), digest.size());
    shared.value_ = std::static_pointer_cast<const T>(
        find_shared(digest, typeid(T), [](std::span<const std::byte> bytes) {
          return std::shared_ptr<const void>(std::make_shared<const T>(decode<T>(bytes)));
        }));
  }
};

}  // namespace knee
