#pragma once
#include <cstdint>
#include <map>
#include <optional>

#include "common/channel/shared_memory.h"

namespace knee::slave {

/// The large values a session holds: arguments that came ahead of their task, results not yet fetched.
/// Arguments have the driver's ids, results have ids made here.
class ValueTable {
 public:
  void put_argument(std::uint64_t id, channel::SharedMemory memory) {
    bytes_ += memory.bytes().size();
    arguments_.insert_or_assign(id, std::move(memory));
  }
  const channel::SharedMemory* argument(std::uint64_t id) const {
    const auto found = arguments_.find(id);
    return found == arguments_.end() ? nullptr : &found->second;
  }
  void drop_argument(std::uint64_t id) { drop(arguments_, id); }

  std::uint64_t put_result(channel::SharedMemory memory) {
    bytes_ += memory.bytes().size();
    results_.emplace(++last_result_, std::move(memory));
    return last_result_;
  }
  /// The result, no longer held.
  std::optional<channel::SharedMemory> take_result(std::uint64_t id) {
    const auto found = results_.find(id);
    if (found == results_.end()) return std::nullopt;
    auto memory = std::move(found->second);
    bytes_ -= memory.bytes().size();
    results_.erase(found);
    return memory;
  }
  void drop_result(std::uint64_t id) { drop(results_, id); }

  /// Memory of all of them.
  std::size_t bytes() const { return bytes_; }

 private:
  using Table = std::map<std::uint64_t, channel::SharedMemory>;
  void drop(Table& table, std::uint64_t id) {
    const auto found = table.find(id);
    if (found == table.end()) return;
    bytes_ -= found->second.bytes().size();
    table.erase(found);
  }

  Table arguments_;
  Table results_;
  std::uint64_t last_result_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace knee::slave
