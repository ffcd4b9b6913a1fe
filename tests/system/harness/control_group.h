#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace knee::test {

/// A control group of version 1 or 2, below this process's own, whose processes are limited.
/// Destruction removes it, as soon as nobody is in it any more.
class ControlGroup {
 public:
  /// So much memory for all, and no swap. None: this machine or user has no such groups.
  static std::unique_ptr<ControlGroup> with_memory(std::uint64_t bytes);
  /// The time of so many cores for all, where a process in it finds that out by its path in
  /// /proc/self/cgroup. None: the same.
  static std::unique_ptr<ControlGroup> with_cores(unsigned cores);

  explicit ControlGroup(std::string folder) : folder_(std::move(folder)) {}
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;
  ~ControlGroup();

  /// What runs a command in it.
  std::vector<std::string> around() const;

 private:
  static std::unique_ptr<ControlGroup> below(const std::string& parent);
  /// False: there is no such limit.
  bool limit(const std::string& file, const std::string& text) const;

  std::string folder_;
};

}  // namespace knee::test
