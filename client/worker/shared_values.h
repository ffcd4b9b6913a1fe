#pragma once
#include <knee/shared.h>

#include <map>
#include <mutex>
#include <string>

namespace knee::worker {

/// The shared values this worker was told of, decoded when first used. One per process, like the
/// worker itself. Any thread.
class SharedValues {
 public:
  static SharedValues& instance();

  /// The encoded value lies in this file, which stays while the worker lives.
  void learn(const detail::DigestBytes& digest, std::string path);

  /// Throws Error::usage for a value the worker was not told of, and what decoding throws.
  std::shared_ptr<const void> find(const detail::DigestBytes& digest, std::type_index type,
                                   detail::DecodeShared decode);

 private:
  struct Value {
    std::string path;
    std::map<std::type_index, std::shared_ptr<const void>> decoded;
  };
  std::mutex mutex_;
  std::map<detail::DigestBytes, Value> values_;
};

}  // namespace knee::worker
