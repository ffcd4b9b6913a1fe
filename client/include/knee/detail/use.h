#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <knee/value.h>

/// Objects that are used by names. Not part of the promise.
namespace knee::detail {

/// One use of an object by names, as proto::Use has it.
struct Use {
  enum class What : std::uint8_t {
    attribute,
    set_attribute,
    item,
    set_item,
    call,
    iterate,
    next,
    text,
    representation,
    length,
    copy
  };
  enum class Wanted : std::uint8_t { object, copy };

  What what = What::copy;
  std::string name{};         ///< of the attribute or method
  std::uint32_t at_most = 0;  ///< of `next`
  std::vector<Value> arguments{};
  std::vector<Named> named{};
  Wanted wanted = Wanted::object;

  /// For messages: "call of f", "attribute x".
  std::string label() const;
};

/// What a use gave.
struct UseResult {
  Value value{};
  bool has_value = true;  ///< else `object` alone says it
  ObjectRef object{};     ///< null: all of it is `value`
};

}  // namespace knee::detail
