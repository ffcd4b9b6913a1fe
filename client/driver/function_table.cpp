#include "function_table.h"

#include <mutex>

namespace knee::driver {

struct FunctionTable::State {
  mutable std::mutex mutex;
  std::vector<const detail::FunctionEntry*> entries;
};

FunctionTable::FunctionTable() : state_(new State) {}

FunctionTable& FunctionTable::instance() {
  static auto* const table = new FunctionTable;  // user threads may still call at the end
  return *table;
}

std::uint32_t FunctionTable::add(const detail::FunctionEntry& entry) {
  const std::lock_guard lock(state_->mutex);
  if (const auto index = entry.index.load(std::memory_order_relaxed); index != 0) return index - 1;
  state_->entries.push_back(&entry);
  entry.index.store(static_cast<std::uint32_t>(state_->entries.size()), std::memory_order_release);
  return static_cast<std::uint32_t>(state_->entries.size() - 1);
}

std::uint32_t FunctionTable::size() const {
  const std::lock_guard lock(state_->mutex);
  return static_cast<std::uint32_t>(state_->entries.size());
}

std::vector<const detail::FunctionEntry*> FunctionTable::from(std::uint32_t first) const {
  const std::lock_guard lock(state_->mutex);
  if (first >= state_->entries.size()) return {};
  return {state_->entries.begin() + first, state_->entries.end()};
}

}  // namespace knee::driver

namespace knee::detail {

std::uint32_t function_index(const FunctionEntry& function) {
  const auto index = function.index.load(std::memory_order_acquire);
  return index != 0 ? index : driver::FunctionTable::instance().add(function) + 1;
}

}  // namespace knee::detail
