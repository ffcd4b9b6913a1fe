#pragma once
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <string>

#include "client/files/file_side.h"
#include "client/files/pending.h"

namespace knee::detail {

/// What a user's progress function threw.
struct ThrownByUser {
  std::exception_ptr error;
};

/// The copy of one file between two sides, from beginning to end. Several chunks are under way at a
/// time, on both hops, and no more than that are in memory. One thread.
class FileCopy {
 public:
  FileCopy(FileSide& from, const std::string& source, FileSide& to, const std::string& target);
  FileCopy(const FileCopy&) = delete;
  /// What has come stays there for the next copy.
  ~FileCopy();

  struct Standing {
    std::uint64_t size = 0;
    std::uint64_t resumed = 0;    ///< bytes that were there before
    std::uint64_t travelled = 0;  ///< bytes that came there
    std::uint64_t done() const { return resumed + travelled; }
  };
  const Standing& standing() const { return standing_; }
  /// What remains of it if `run` fails: its path; empty: nothing.
  std::string kept() const { return standing_.done() != 0 ? part_path_ : ""; }

  /// Throws Error, or ThrownByUser out of `report`.
  void run(bool sync, const std::function<void()>& report);

 private:
  struct Written {
    Pending<void> ended;
    std::uint64_t size;
  };

  void begin();
  void compare(std::uint64_t length);
  void stream(const std::function<void()>& report);
  void hand_over(const std::string& chunk);
  void confirm_one(const std::function<void()>& report);

  FileSide& from_;
  FileSide& to_;
  Ref<SourceFile> source_;
  Ref<PartialFile> part_;
  std::string part_path_;
  std::uint32_t mode_ = 0;
  Standing standing_;
  std::deque<Written> writes_;
};

}  // namespace knee::detail
