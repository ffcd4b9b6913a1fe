#pragma once
#include <knee/files.h>

#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>

namespace knee::cli {

/// What a terminal shows of a copy: a line for each file, with how much, how fast and, at the end,
/// how long. Thread of the copy.
class CopyLine {
 public:
  using Clock = std::chrono::steady_clock;
  explicit CopyLine(std::ostream& out) : out_(out) {}
  CopyLine(const CopyLine&) = delete;
  /// Ends the last line.
  ~CopyLine();

  void show(const CopyProgress& progress, Clock::time_point now = Clock::now());

 private:
  std::ostream& out_;
  bool open_ = false;  ///< there is a line
  std::string path_;
  std::uint64_t complete_ = 0;
  Clock::time_point begun_{};
  Clock::time_point shown_{};
};

}  // namespace knee::cli
