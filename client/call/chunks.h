#pragma once
#include <knee/value.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>

namespace knee::detail {

/// A list; numbers of one kind side by side, if it is one of those.
Value as_numbers(Value::List items);

/// An iteration, as who goes through it asks for it by `next` (object.capnp).
class Chunks {
 public:
  /// The answer: some items, and whether those were the last. `item` gives one after the other, and
  /// nothing at the end. What it throws is thrown, but after what came before it.
  Value next(std::uint32_t at_most, const std::function<std::optional<Value>()>& item);

 private:
  std::exception_ptr failed_;  ///< to be thrown next
};

}  // namespace knee::detail
