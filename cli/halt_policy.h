#pragma once
#include <cstdint>
#include <string>

namespace knee::cli {

/// When a bag stops before its end, as GNU parallel's --halt says: "never", or "now" or "soon", a
/// comma, and "fail=N", "success=N", "done=N", or with "N%" of the jobs that have ended, once there
/// are three. A plain value.
class HaltPolicy {
 public:
  enum class How { never, soon, now };

  HaltPolicy() = default;
  /// Throws Error::usage that says how it is written.
  static HaltPolicy parse(const std::string& text);

  /// Whether it is time, after so many jobs have ended.
  bool reached(std::uint64_t succeeded, std::uint64_t failed) const;
  How how() const { return how_; }

 private:
  enum class What { fail, success, done };
  How how_ = How::never;
  What what_ = What::fail;
  std::uint64_t count_ = 0;
  bool percent_ = false;
};

}  // namespace knee::cli
