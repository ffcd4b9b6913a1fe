#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <variant>

#include "common/base/unique_fd.h"
#include "common/channel/shared_memory.h"
#include "slave/spare_memory.h"

namespace knee::slave {

/// A large result that lies in a file, which may have no name any more.
struct FileValue {
  UniqueFd file;
  std::uint64_t size = 0;
};
using ResultValue = std::variant<channel::SharedMemory, FileValue>;

/// The large values a session holds: arguments that came ahead of their task, results not yet
/// fetched. Arguments have the driver's ids, results have ids made here. The memory of both is
/// used again.
class ValueTable {
 public:
  /// Called when memory has become spare.
  std::function<void()> on_spare = [] {};

  /// Memory for an argument that is to come.
  channel::SharedMemory room_for_argument(std::size_t size) { return spare_arguments_.take(size); }
  void put_argument(std::uint64_t id, channel::SharedMemory memory) {
    arguments_.insert_or_assign(id, std::move(memory));
  }
  const channel::SharedMemory* argument(std::uint64_t id) const {
    const auto found = arguments_.find(id);
    return found == arguments_.end() ? nullptr : &found->second;
  }
  /// Nobody reads it any more.
  void drop_argument(std::uint64_t id) {
    const auto found = arguments_.find(id);
    if (found == arguments_.end()) return;
    spare_arguments_.keep(std::move(found->second));
    arguments_.erase(found);
    on_spare();
  }

  std::uint64_t put_result(ResultValue value) {
    result_bytes_ += memory_of(value);
    results_.emplace(++last_result_, std::move(value));
    return last_result_;
  }
  /// The result, no longer held.
  std::optional<ResultValue> take_result(std::uint64_t id) {
    const auto found = results_.find(id);
    if (found == results_.end()) return std::nullopt;
    auto value = std::move(found->second);
    result_bytes_ -= memory_of(value);
    results_.erase(found);
    return value;
  }
  void drop_result(std::uint64_t id) { take_result(id); }

  /// Results' memory that nobody needs: to be lent to workers for their next results.
  SpareMemory& spare_results() { return spare_results_; }
  /// The content of a result's memory has been copied.
  void reuse(channel::SharedMemory memory) {
    spare_results_.keep(std::move(memory));
    on_spare();
  }
  /// See SpareMemory::age. False: there is nothing left to free.
  bool age_spare() {
    spare_arguments_.age();
    spare_results_.age();
    return !spare_arguments_.empty() || !spare_results_.empty();
  }

  /// A result that was taken is on its way to the driver, until `delivered` is told what this
  /// gives.
  std::size_t leaving(const ResultValue& value) {
    ++leaving_;
    const std::size_t bytes = memory_of(value);
    result_bytes_ += bytes;
    return bytes;
  }
  void delivered(std::size_t bytes) {
    --leaving_;
    result_bytes_ -= bytes;
  }
  /// Results that the driver does not have yet.
  bool has_results() const { return !results_.empty() || leaving_ != 0; }

  /// Memory of all results, also of those on their way. Files take none. (Arguments are the
  /// driver's to count.)
  std::size_t result_bytes() const { return result_bytes_; }

 private:
  static std::size_t memory_of(const ResultValue& value) {
    const auto* memory = std::get_if<channel::SharedMemory>(&value);
    return memory == nullptr ? 0 : memory->bytes().size();
  }

  std::map<std::uint64_t, channel::SharedMemory> arguments_;
  std::map<std::uint64_t, ResultValue> results_;
  std::uint64_t last_result_ = 0;
  std::size_t result_bytes_ = 0;
  std::size_t leaving_ = 0;
  SpareMemory spare_arguments_;
  SpareMemory spare_results_;
};

}  // namespace knee::slave
