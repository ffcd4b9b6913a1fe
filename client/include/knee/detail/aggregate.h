#pragma once

#include <boost/pfr/core.hpp>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

/// What a class aggregate is made of, asked without the hard errors that Boost.PFR gives for the
/// aggregates it cannot take apart.
namespace knee::detail {

/// What keeps an aggregate from being taken apart into its fields.
enum class AggregateFlaw { kNone, kBaseClass, kArrayField, kBitField, kTooManyFields, kTooLarge };

/// As many as Boost.PFR can bind.
inline constexpr std::size_t kMostFields = 100;
/// Boost.PFR counts fields by trying 8 initialisers per byte: beyond this size that costs the
/// compiler seconds and gigabytes.
inline constexpr std::size_t kLargestAggregate = std::size_t{64} * 1024;

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-inline"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif

// Stand-ins for "an initialiser of any type". Declared only: they live in unevaluated operands.
struct AnyLvalue {
  template <class X>
  operator X&() const&& noexcept;
  template <class X>
  operator X&() const& noexcept;
};
struct AnyRvalue {
  template <class X>
  operator X() const&& noexcept;
};
template <class T>
using Any = std::conditional_t<std::is_copy_constructible_v<T>, AnyLvalue, AnyRvalue>;

template <class T, std::size_t>
using AnyAt = Any<T>;

// Converts to base classes of T only.
template <class T>
struct AnyBase {
  template <class X>
  requires(std::is_base_of_v<X, T> && !std::is_same_v<X, T> &&
           std::is_copy_constructible_v<T>) constexpr
  operator X&() const noexcept;
  template <class X>
  requires(std::is_base_of_v<X, T> && !std::is_same_v<X, T> &&
           !std::is_copy_constructible_v<T>) constexpr
  operator X() const noexcept;
};

// Converts to nothing: what takes it, takes anything (std::any), and answers no question about T.
struct Nothing {};

// Converts to scalars of one size only.
template <std::size_t Size>
struct AnyScalar {
  template <class X>
  requires(std::is_scalar_v<X> && sizeof(X) == Size) constexpr operator X&() const noexcept;
};

template <class T, class Initialiser, std::size_t... Before>
consteval bool takes_after(std::index_sequence<Before...>) {
  return requires {
    T{std::declval<AnyAt<T, Before>>()..., std::declval<Initialiser>()};
  };
}

template <class T, std::size_t... Each>
consteval bool takes(std::index_sequence<Each...>) {
  return requires {
    T{std::declval<AnyAt<T, Each>>()...};
  };
}

template <class T, std::size_t Taken, std::size_t Refused>
consteval std::size_t count_between() {
  constexpr std::size_t kMiddle = Taken + (Refused - Taken) / 2;
  if constexpr (kMiddle == Taken)
    return Taken;
  else if constexpr (takes<T>(std::make_index_sequence<kMiddle>{}))
    return count_between<T, kMiddle, Refused>();
  else
    return count_between<T, Taken, kMiddle>();
}

/// The number of initialisers T takes, braces left out: the number of its fields if none of them is
/// an array. Boost.PFR's own count ends g++ 12 with an internal error for some arrays.
template <class T, std::size_t Taken = 1>
consteval std::size_t count_initialisers() {
  if constexpr (takes<T>(std::make_index_sequence<2 * Taken>{}))
    return count_initialisers<T, 2 * Taken>();
  else
    return count_between<T, Taken, 2 * Taken>();
}

/// True if the initialiser after `before` others may be a braced pair, and `after` more may follow.
template <class T, std::size_t... Before, std::size_t... After>
consteval bool takes_pair(std::index_sequence<Before...>, std::index_sequence<After...>) {
  return requires {
    T{std::declval<AnyAt<T, Before>>()...,
      {std::declval<Any<T>>(), std::declval<Any<T>>()},
      std::declval<AnyAt<T, After>>()...};
  };
}

// With its braces left out `int a[3]` eats three initialisers, with braces one; a class field eats
// one either way. So with a pair in braces at the array's place, the rest becomes one too many.
template <class T, std::size_t Count, std::size_t At>
consteval bool is_array_at() {
  using Before = std::make_index_sequence<At>;
  if constexpr (takes_pair<T>(Before{}, std::index_sequence<>{}))
    return !takes_pair<T>(Before{}, std::make_index_sequence<Count - At - 1>{});
  else
    return false;
}

template <class T, std::size_t Count>
consteval bool has_array_field() {
  return []<std::size_t... At>(std::index_sequence<At...>) {
    return (is_array_at<T, Count, At>() || ...);
  }
  (std::make_index_sequence<Count>{});
}

template <class T, std::size_t At>
consteval std::size_t scalar_size_at() {
  using Before = std::make_index_sequence<At>;
  if constexpr (takes_after<T, Nothing>(Before{})) return 0;
  if constexpr (takes_after<T, AnyScalar<8>>(Before{})) return 8;
  if constexpr (takes_after<T, AnyScalar<4>>(Before{})) return 4;
  if constexpr (takes_after<T, AnyScalar<2>>(Before{})) return 2;
  if constexpr (takes_after<T, AnyScalar<1>>(Before{})) return 1;
  return 0;
}

// The language cannot be asked about bit-fields. This finds those that share storage: the types of
// the fields are together larger than the aggregate.
template <class T, std::size_t Count>
consteval bool has_bit_field() {
  if constexpr (sizeof(T) >= 8 * Count) {
    return false;
  } else {
    return []<std::size_t... At>(std::index_sequence<At...>) {
      return (std::size_t{0} + ... + scalar_size_at<T, At>()) > sizeof(T);
    }
    (std::make_index_sequence<Count>{});
  }
}

template <class T>
consteval bool has_base_class() {
  using First = std::index_sequence<>;
  return takes_after<T, AnyBase<T>>(First{}) && !takes_after<T, Nothing>(First{});
}

/// Why the class aggregate T cannot be taken apart, kNone if it can. T is default constructible.
template <class T>
consteval AggregateFlaw aggregate_flaw() {
  if constexpr (has_base_class<T>()) {
    return AggregateFlaw::kBaseClass;
  } else if constexpr (std::is_empty_v<T>) {
    return AggregateFlaw::kNone;
  } else if constexpr (sizeof(T) > kLargestAggregate) {
    return AggregateFlaw::kTooLarge;
  } else {
    constexpr std::size_t kCount = count_initialisers<T>();
    if constexpr (has_array_field<T, kCount>()) return AggregateFlaw::kArrayField;
    if constexpr (kCount > kMostFields) return AggregateFlaw::kTooManyFields;
    if constexpr (has_bit_field<T, kCount>()) return AggregateFlaw::kBitField;
    return AggregateFlaw::kNone;
  }
}

/// The types of the fields of T, which must be without flaw, as a pointer to Fields<...>.
template <class... F>
struct Fields {};

template <class T>
consteval auto fields_of() {
  return []<std::size_t... At>(std::index_sequence<At...>) {
    return static_cast<Fields<boost::pfr::tuple_element_t<At, T>...>*>(nullptr);
  }
  (std::make_index_sequence<boost::pfr::tuple_size_v<T>>{});
}

#ifdef __clang__
#pragma clang diagnostic pop
#endif

}  // namespace knee::detail
