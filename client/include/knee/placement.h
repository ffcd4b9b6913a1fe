#pragma once
#include <cstdint>

#include <knee/detail/export.h>

namespace knee {

/// In which process of a slave an object is made. A cheap value; any thread.
///
/// Calls on objects of one process are carried out one at a time, and a process that dies takes
/// all its objects along: objects that must not wait for each other, or are not to share their
/// fate, belong into different ones.
class KNEE_EXPORT Placement {
 public:
  /// The process of all objects for which nothing else was said.
  Placement() = default;
  /// One of its own, for all objects that are made with this value or a copy of it on one slave.
  /// It ends with the last of them.
  static Placement own();

  /// For the library: 0 for the common one.
  std::uint64_t number() const { return number_; }

 private:
  explicit Placement(std::uint64_t number) : number_(number) {}

  std::uint64_t number_ = 0;
};

}  // namespace knee
