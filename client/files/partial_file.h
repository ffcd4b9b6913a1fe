#pragma once
#include <cstdint>
#include <string>

#include "common/base/digest.h"
#include "common/base/unique_fd.h"

namespace knee::detail {

/// The target of a copy while it is written: a file beside it, `.NAME.knee-part`, which takes its
/// name when it is complete and right. The other end of a copy, on whichever machine; one at a time
/// for each target, by a lock. Throws std::runtime_error that names the file.
///
/// What is there when a copy is interrupted stays, for the next one.
class PartialFile {
 public:
  /// A target that is a link is what it leads to. Waits a moment for the end of another copy.
  explicit PartialFile(const std::string& target);
  PartialFile(const PartialFile&) = delete;
  ~PartialFile();

  struct Begin {
    std::uint64_t length = 0;  ///< of what is there from an earlier copy
    std::string path;
  };
  Begin begin() const { return {length_, part_}; }

  /// Hashes up to so many bytes of what is there; gives how many.
  std::uint64_t skip(std::uint64_t most);
  /// The raw digest of what was skipped.
  std::string digest() const;
  /// What is there is of no use.
  void rewind();

  /// Behind what is there, all of which was skipped.
  void write(const std::string& bytes);
  /// Everything was written: gives it its name and these permission bits, if that is its digest.
  void finish(const std::string& digest, std::uint32_t mode, bool sync);
  /// The copy ends here.
  void leave() noexcept;

  /// `.NAME.knee-part`, as far as a name may be that long.
  static std::string name_for(const std::string& name);

 private:
  bool open_and_lock();

  std::string target_;
  std::string folder_;
  std::string part_;
  UniqueFd fd_;
  std::uint64_t length_ = 0;
  std::uint64_t hashed_ = 0;
  Hasher hasher_;
};

}  // namespace knee::detail
