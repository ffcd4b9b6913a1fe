#pragma once

#include <type_traits>

#include <knee/detail/archive_shape.h>

/// Says in one line why a type cannot travel, and what to do about it.
namespace knee::detail {

#define KNEE_SERIALIZE_HINT \
  "give it `template <class Archive> void serialize(Archive& ar) { ar(a, b); }` (docs/values.md)"

/// Fails to compile if Value cannot travel by itself; the compiler names Value beside the message.
template <class Value>
constexpr void check_itself() {
  constexpr Flaw kFlaw = own_flaw<Value>();
  static_assert(kFlaw != Flaw::kPointer,
                "knee: a pointer cannot travel to another machine; pass what it points to "
                "(std::string for const char*, std::vector<T> or std::optional<T> for T*)");
  static_assert(kFlaw != Flaw::kReference,
                "knee: a reference cannot travel to another machine; make this a value");
  static_assert(
      kFlaw != Flaw::kView,
      "knee: a view (string_view, span, reference_wrapper, initializer_list) owns nothing "
      "and cannot travel; use std::string or std::vector<T>");
  static_assert(kFlaw != Flaw::kConst,
                "knee: a const field or element cannot be read into; drop the const");
  static_assert(kFlaw != Flaw::kBaseClass,
                "knee: this aggregate has a base class, so its fields cannot be listed; make the "
                "base a field, or " KNEE_SERIALIZE_HINT);
  static_assert(kFlaw != Flaw::kArrayField,
                "knee: this aggregate has a C array as a field, so its fields cannot be listed; "
                "make it a std::array, or " KNEE_SERIALIZE_HINT);
  static_assert(kFlaw != Flaw::kBitField,
                "knee: this aggregate has bit-fields, which cannot be bound to; make them ordinary "
                "fields, or " KNEE_SERIALIZE_HINT);
  static_assert(kFlaw != Flaw::kTooManyFields,
                "knee: this aggregate has more than 100 fields; group them into structs, "
                "or " KNEE_SERIALIZE_HINT);
  static_assert(
      kFlaw != Flaw::kTooLarge,
      "knee: this aggregate is larger than 64 KiB, too large for the compiler to list its "
      "fields; hold its arrays in std::vector, or " KNEE_SERIALIZE_HINT);
  static_assert(kFlaw != Flaw::kAmbiguous,
                "knee: cereal finds more than one way to write or read this type; keep either "
                "serialize, or save and load, not both (inherited ones count)");
  static_assert(kFlaw != Flaw::kOneWay,
                "knee: cereal can only write this type or only read it; save and load (or "
                "save_minimal and load_minimal) must both exist, and save must be const");
  static_assert(kFlaw != Flaw::kUnknown,
                "knee: this type is neither a plain aggregate nor known to cereal; include its "
                "header if it is a library type (such as <cereal/types/memory.hpp>), "
                "else " KNEE_SERIALIZE_HINT);
  static_assert(kFlaw != Flaw::kNotDefaultConstructible,
                "knee: this type needs a public default constructor, for values are made first and "
                "then read into (a const or reference field takes it away)");
}

#undef KNEE_SERIALIZE_HINT

/// Fails to compile, naming the innermost type that is at fault, unless Value travels.
template <class Value, class... Seen>
constexpr void check_value() {
  if constexpr (!travels<Value>() && !(std::is_same_v<Value, Seen> || ...)) {
    check_itself<Value>();
    if constexpr (own_flaw<Value>() == Flaw::kNone)
      []<class... Part>(Fields<Part...>*) {
        (check_value<Part, Value, Seen...>(), ...);
      }(static_cast<PartsOf<Value>*>(nullptr));
  }
}

}  // namespace knee::detail
