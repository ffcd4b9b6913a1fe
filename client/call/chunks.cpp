#include "chunks.h"

#include <chrono>
#include <utility>
#include <vector>

#include "client/call/value_wire.h"

namespace knee::detail {
namespace {

/// A chunk ends when it has taken so long, so that slow things come at once ...
constexpr auto kLongestChunk = std::chrono::milliseconds(5);
/// ... or is so large.
constexpr std::uint64_t kLargestChunk = (std::uint64_t{1} << 20) / sizeof(capnp::word);

template <class T, class Get>
Value side_by_side(const Value::List& items, Get get) {
  std::vector<T> numbers;
  numbers.reserve(items.size());
  for (const auto& item : items) numbers.push_back(get(item));
  return Value::list_of(std::move(numbers));
}

}  // namespace

Value as_numbers(Value::List items) {
  using Kind = Value::Kind;
  const auto all = [&items](Kind kind) {
    for (const auto& item : items)
      if (item.kind() != kind) return false;
    return !items.empty();
  };
  if (all(Kind::integer))
    return side_by_side<std::int64_t>(items, [](const Value& item) { return item.as_integer(); });
  if (all(Kind::real))
    return side_by_side<double>(items, [](const Value& item) { return item.as_real(); });
  return Value::list(std::move(items));
}

Value Chunks::next(std::uint32_t at_most, const std::function<std::optional<Value>()>& item) {
  if (failed_) std::rethrow_exception(std::exchange(failed_, nullptr));
  const auto end = std::chrono::steady_clock::now() + kLongestChunk;
  Value::List items;
  std::uint64_t words = 0;
  bool ended = false;
  try {
    do {
      auto one = item();
      if (!one) {
        ended = true;
        break;
      }
      words += words_of(*one);
      items.push_back(std::move(*one));
    } while (items.size() < at_most && words < kLargestChunk &&
             std::chrono::steady_clock::now() < end);
  } catch (...) {
    if (items.empty()) throw;
    failed_ = std::current_exception();
  }
  return Value::tuple({as_numbers(std::move(items)), ended});
}

}  // namespace knee::detail
