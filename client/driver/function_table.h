#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <knee/detail/task_state.h>

namespace knee::driver {

/// All functions this process has used as tasks, in the order of their first use. One per process,
/// since it lists what is compiled in. Any thread.
class FunctionTable {
 public:
  static FunctionTable& instance();

  /// Index of the entry from 0.
  std::uint32_t add(const detail::FunctionEntry& entry);

  std::uint32_t size() const;
  /// The entries from `first` on.
  std::vector<const detail::FunctionEntry*> from(std::uint32_t first) const;

 private:
  struct State;
  FunctionTable();
  State* state_;
};

}  // namespace knee::driver
