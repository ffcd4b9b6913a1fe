#pragma once

#include <array>
#include <cereal/cereal.hpp>
#include <concepts>
#include <cstddef>
#include <deque>
#include <functional>
#include <initializer_list>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <knee/detail/aggregate.h>

/// Which way a type travels, and why it does not.
namespace knee::detail {

/// Specialise for a type whose encoding needs what stands beside the bytes (the archive's
/// `context`), such as a capability. A specialisation has
///   static constexpr bool kDefined = true;
///   static void write(ByteSink& sink, const T& value);
///   static void read(ByteSource& source, T& value);
template <class T>
struct ContextCodec {
  static constexpr bool kDefined = false;
};

// Two archives that nothing of Knee writes to or reads from: what cereal can do for a type with
// these, it can do by itself or by the user's functions.
namespace probe {
struct Output : cereal::OutputArchive<Output> {
  Output() : cereal::OutputArchive<Output>(this) {}
};
struct Input : cereal::InputArchive<Input> {
  Input() : cereal::InputArchive<Input>(this) {}
};
}  // namespace probe
}  // namespace knee::detail

CEREAL_SETUP_ARCHIVE_TRAITS(knee::detail::probe::Input, knee::detail::probe::Output)

namespace knee::detail {

enum class Shape {
  kScalar,
  kContext,
  kString,
  kVector,
  kArray,
  kComplex,
  kTuple,
  kOptional,
  kAggregate,
  kCereal,
  kUnknown,
};

enum class Flaw {
  kNone,
  kPointer,
  kReference,
  kView,
  kConst,
  kBaseClass,
  kArrayField,
  kBitField,
  kTooManyFields,
  kTooLarge,
  kAmbiguous,
  kOneWay,
  kUnknown,
  kNotDefaultConstructible,
};

template <class T, template <class...> class Template>
inline constexpr bool kIsA = false;
template <template <class...> class Template, class... Args>
inline constexpr bool kIsA<Template<Args...>, Template> = true;

template <class T>
inline constexpr bool kIsStdArray = false;
template <class T, std::size_t N>
inline constexpr bool kIsStdArray<std::array<T, N>> = true;

template <class T>
inline constexpr bool kIsSpan = false;
template <class T, std::size_t N>
inline constexpr bool kIsSpan<std::span<T, N>> = true;

template <class T>
inline constexpr bool kIsView = kIsSpan<T> || kIsA<T, std::basic_string_view> ||
                                kIsA<T, std::reference_wrapper> || kIsA<T, std::initializer_list>;

// std::complex and its like, without <complex>, which costs every includer 70 ms.
template <class T>
concept ComplexNumber = std::is_class_v<T> && requires(const T& number) {
  requires std::floating_point<typename T::value_type>;
  { number.real() } -> std::convertible_to<typename T::value_type>;
  { number.imag() } -> std::convertible_to<typename T::value_type>;
  T{number.real(), number.imag()};
} && sizeof(T) == 2 * sizeof(typename T::value_type);

template <class T>
inline constexpr int kCerealOutputs =
    cereal::traits::detail::count_output_serializers<T, probe::Output>::value;
template <class T>
inline constexpr int kCerealInputs =
    cereal::traits::detail::count_input_serializers<T, probe::Input>::value;

/// T is complete and has no cv qualifier.
template <class T>
consteval Shape shape_of() {
  if constexpr (ContextCodec<T>::kDefined)
    return Shape::kContext;
  else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>)
    return Shape::kScalar;
  else if constexpr (kIsA<T, std::basic_string>)
    return Shape::kString;
  else if constexpr (kIsA<T, std::vector>)
    return Shape::kVector;
  else if constexpr (kIsStdArray<T> || std::is_bounded_array_v<T>)
    return Shape::kArray;
  else if constexpr (ComplexNumber<T>)
    return Shape::kComplex;
  else if constexpr (kIsA<T, std::pair> || kIsA<T, std::tuple>)
    return Shape::kTuple;
  else if constexpr (kIsA<T, std::optional>)
    return Shape::kOptional;
  // cereal writes nothing for it, which would make a vector of it look damaged.
  else if constexpr (std::is_same_v<T, std::monostate>)
    return Shape::kAggregate;
  else if constexpr (!std::is_class_v<T> && !std::is_union_v<T>)
    return Shape::kUnknown;
  else if constexpr (kIsView<T>)
    return Shape::kUnknown;
  else if constexpr (kCerealOutputs<T> == 1 && kCerealInputs<T> == 1)
    return Shape::kCereal;
  else if constexpr (kCerealOutputs<T> != 0 || kCerealInputs<T> != 0)
    return Shape::kUnknown;
  else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>)
    return Shape::kAggregate;
  else
    return Shape::kUnknown;
}

template <class T>
consteval Flaw flaw_of_unknown() {
  if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T>)
    return Flaw::kPointer;
  else if constexpr (kIsView<T>)
    return Flaw::kView;
  else if constexpr (std::is_class_v<T> || std::is_union_v<T>) {
    if (kCerealOutputs < T >> 1 || kCerealInputs < T >> 1) return Flaw::kAmbiguous;
    if (kCerealOutputs<T> != kCerealInputs<T>) return Flaw::kOneWay;
  }
  return Flaw::kUnknown;
}

consteval Flaw flaw_of(AggregateFlaw flaw) {
  switch (flaw) {
    case AggregateFlaw::kBaseClass:
      return Flaw::kBaseClass;
    case AggregateFlaw::kArrayField:
      return Flaw::kArrayField;
    case AggregateFlaw::kBitField:
      return Flaw::kBitField;
    case AggregateFlaw::kTooManyFields:
      return Flaw::kTooManyFields;
    case AggregateFlaw::kTooLarge:
      return Flaw::kTooLarge;
    case AggregateFlaw::kNone:
      break;
  }
  return Flaw::kNone;
}

/// What is wrong with T itself, whatever its parts are.
template <class T>
consteval Flaw own_flaw() {
  if constexpr (std::is_reference_v<T>)
    return Flaw::kReference;
  else if constexpr (std::is_const_v<T>)
    return Flaw::kConst;
  else if constexpr (shape_of<T>() == Shape::kUnknown)
    return flaw_of_unknown<T>();
  else if constexpr (!std::is_default_constructible_v<T>)
    return Flaw::kNotDefaultConstructible;
  else if constexpr (shape_of<T>() == Shape::kAggregate)
    return flaw_of(aggregate_flaw<T>());
  else
    return Flaw::kNone;
}

/// The types T is made of, where they are known: what must be a value for T to be one. Of what
/// the user's own cereal functions write nothing is known before they are instantiated.
template <class T>
struct Parts {
  using type = Fields<>;
};
template <class T>
requires(own_flaw<T>() == Flaw::kNone && shape_of<T>() == Shape::kAggregate) struct Parts<T> {
  using type = std::remove_pointer_t<decltype(fields_of<T>())>;
};
template <class T, class A>
struct Parts<std::vector<T, A>> {
  using type = Fields<T>;
};
template <class T, class A>
struct Parts<std::deque<T, A>> {
  using type = Fields<T>;
};
template <class T, class A>
struct Parts<std::list<T, A>> {
  using type = Fields<T>;
};
template <class T>
struct Parts<std::optional<T>> {
  using type = Fields<T>;
};
template <class T, std::size_t N>
struct Parts<std::array<T, N>> {
  using type = Fields<T>;
};
template <class T, std::size_t N>
struct Parts<T[N]> {
  using type = Fields<T>;
};
template <class... T>
struct Parts<std::pair<T...>> {
  using type = Fields<T...>;
};
template <class... T>
struct Parts<std::tuple<T...>> {
  using type = Fields<T...>;
};
template <class... T>
struct Parts<std::variant<T...>> {
  using type = Fields<T...>;
};
template <class K, class... R>
struct Parts<std::set<K, R...>> {
  using type = Fields<K>;
};
template <class K, class... R>
struct Parts<std::multiset<K, R...>> {
  using type = Fields<K>;
};
template <class K, class... R>
struct Parts<std::unordered_set<K, R...>> {
  using type = Fields<K>;
};
template <class K, class V, class... R>
struct Parts<std::map<K, V, R...>> {
  using type = Fields<K, V>;
};
template <class K, class V, class... R>
struct Parts<std::multimap<K, V, R...>> {
  using type = Fields<K, V>;
};
template <class K, class V, class... R>
struct Parts<std::unordered_map<K, V, R...>> {
  using type = Fields<K, V>;
};

template <class T>
using PartsOf = typename Parts<T>::type;

/// True if T and all it is made of can travel. `Seen` ends the recursion of trees.
template <class T, class... Seen>
consteval bool travels() {
  if constexpr ((std::is_same_v<T, Seen> || ...))
    return true;
  else if constexpr (own_flaw<T>() != Flaw::kNone)
    return false;
  else
    return []<class... P>(Fields<P...>*) {
      return (travels<P, T, Seen...>() && ...);
    }(static_cast<PartsOf<T>*>(nullptr));
}

/// True if T or something in it travels beside the encoding (ContextCodec), which only what a call
/// is given can. T travels.
template <class T, class... Seen>
consteval bool needs_context() {
  if constexpr ((std::is_same_v<T, Seen> || ...))
    return false;
  else if constexpr (shape_of<T>() == Shape::kContext)
    return true;
  else
    return []<class... P>(Fields<P...>*) {
      return (needs_context<P, T, Seen...>() || ...);
    }(static_cast<PartsOf<T>*>(nullptr));
}

/// True if T is encoded without the help of cereal, so that no archive (some 300 bytes of hash
/// tables) need be made for it. T travels.
template <class T, class... Seen>
consteval bool is_direct() {
  if constexpr ((std::is_same_v<T, Seen> || ...))
    return true;
  else if constexpr (shape_of<T>() == Shape::kCereal)
    return false;
  else
    return []<class... P>(Fields<P...>*) {
      return (is_direct<P, T, Seen...>() && ...);
    }(static_cast<PartsOf<T>*>(nullptr));
}

template <class T>
consteval bool is_packed();

template <class T, class... F>
consteval bool has_packed_fields(Fields<F...>*) {
  if constexpr ((is_packed<F>() && ...))
    return (std::size_t{0} + ... + sizeof(F)) == sizeof(T);
  else
    return false;
}

/// True if the encoding of T is its memory: no padding, no bits that could be wrong. T travels.
template <class T>
consteval bool is_packed() {
  constexpr Shape kShape = shape_of<T>();
  if constexpr (!std::is_trivially_copyable_v<T>)
    return false;
  else if constexpr (std::is_enum_v<T>)
    return is_packed<std::underlying_type_t<T>>();
  else if constexpr (kShape == Shape::kScalar)
    return !std::is_same_v<T, bool> && !std::is_same_v<T, long double>;
  else if constexpr (kShape == Shape::kComplex)
    return is_packed<typename T::value_type>();
  else if constexpr (kShape == Shape::kArray || kShape == Shape::kAggregate) {
    if constexpr (std::is_empty_v<T>)
      return false;
    else if constexpr (kShape == Shape::kAggregate)
      return has_packed_fields<T>(static_cast<PartsOf<T>*>(nullptr));
    else
      return is_packed<std::remove_cvref_t<decltype(std::declval<T&>()[0])>>();
  } else
    return false;
}

/// The fewest bytes a T is encoded in; for sizes read from outside to be checked against.
template <class T, class... Seen>
consteval std::size_t least_size() {
  constexpr Shape kShape = shape_of<T>();
  if constexpr ((std::is_same_v<T, Seen> || ...))
    return 1;
  else if constexpr (kShape == Shape::kScalar)
    return sizeof(T);
  else if constexpr (kShape == Shape::kString || kShape == Shape::kVector)
    return 8;
  else if constexpr (is_packed<T>())
    return sizeof(T);
  else if constexpr (kShape == Shape::kTuple || kShape == Shape::kAggregate)
    return []<class... P>(Fields<P...>*) {
      constexpr std::size_t kSum = (std::size_t{0} + ... + least_size<P, T, Seen...>());
      return kSum == 0 ? 1 : kSum;
    }(static_cast<PartsOf<T>*>(nullptr));
  else
    return 1;
}

}  // namespace knee::detail
