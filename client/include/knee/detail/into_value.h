#pragma once
#include <array>
#include <cmath>
#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <knee/detail/bytes.h>
#include <knee/detail/call_context.h>

/// How C++ values become a Value. Not part of the promise.
namespace knee {
class Value;
}

namespace knee::detail {

struct PlainValue;
template <class T>
T from_value(const Value& value);
template <class T>
T from_sole_value(Value& value);

/// Bytes that do not change, and who keeps them.
struct Content {
  std::shared_ptr<const void> owner;
  const std::byte* data = nullptr;
  std::size_t size = 0;

  std::string_view text() const { return {reinterpret_cast<const char*>(data), size}; }
};

/// Says of what a Content owns that it is a vector of this type.
template <class Vector>
struct VectorDeleter {
  void operator()(const Vector* vector) const { delete vector; }
};

/// All of a vector, which `sole_vector` finds again.
template <class Vector>
Content content_of_vector(Vector vector) {
  auto* const kept = new Vector(std::move(vector));
  std::shared_ptr<const void> owner(kept, VectorDeleter<Vector>());
  return {std::move(owner), reinterpret_cast<const std::byte*>(kept->data()),
          kept->size() * sizeof(typename Vector::value_type)};
}

/// The vector that a Content is all of, if there is no other copy of it that could look. Else null.
template <class Vector>
Vector* sole_vector(const Content& content) {
  if (content.owner.use_count() != 1 ||
      std::get_deleter<VectorDeleter<Vector>>(content.owner) == nullptr)
    return nullptr;
  // A copy that another thread had is gone; this acquires what it released.
  { const auto again = content.owner; }
  auto* const vector = static_cast<Vector*>(const_cast<void*>(content.owner.get()));
  const bool whole = content.data == reinterpret_cast<const std::byte*>(vector->data()) &&
                     content.size == vector->size() * sizeof(typename Vector::value_type);
  return whole ? vector : nullptr;
}

template <class T>
inline constexpr bool kIsComplexNumber =
    std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;

/// Of what a buffer can be made.
template <class T>
inline constexpr bool kIsElement = (std::is_arithmetic_v<T> && !std::is_same_v<T, bool> &&
                                    !std::is_same_v<T, char> && !std::is_same_v<T, long double> &&
                                    !std::is_same_v<T, wchar_t> && sizeof(T) <= 8) ||
                                   kIsComplexNumber<T>;
/// Of what bytes can be made.
template <class T>
inline constexpr bool kIsByte = std::is_same_v<T, char> || std::is_same_v<T, std::byte>;

template <class T>
inline constexpr bool kIsVector = false;
template <class E, class A>
inline constexpr bool kIsVector<std::vector<E, A>> = true;

template <class T>
concept IsText =
    std::is_convertible_v<const T&, std::string_view> && !std::is_same_v<T, std::nullptr_t>;
template <class T>
concept IsRange = requires(const T& range) {
  range.begin();
  range.end();
  typename T::value_type;
};
template <class T>
concept IsMap = IsRange<T> && requires {
  typename T::mapped_type;
};
/// Side by side in memory.
template <class T>
concept IsRun = IsRange<T> && requires(const T& run) {
  run.data();
  run.size();
};
template <class T>
concept IsTuple = !IsRange<T> && requires {
  std::tuple_size<T>::value;
};
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

template <class T>
consteval bool makes_value();
template <class T>
inline constexpr bool kIntoValue = makes_value<T>();
/// A part of something: also a Value itself, and what converts to one.
template <class T>
inline constexpr bool kPartOfValue = std::is_same_v<T, Value> || kIntoValue<T> ||
                                     requires(const T& from) {
  from.as_value();
};

template <class T>
consteval bool makes_value() {
  if constexpr (std::is_same_v<T, Value> || std::is_enum_v<T>)
    return false;
  else if constexpr (std::is_same_v<T, std::nullptr_t> || IsText<T>)
    return true;
  else if constexpr (std::is_arithmetic_v<T>)
    return !std::is_same_v<T, long double> && sizeof(T) <= 8;
  else if constexpr (kIsOptional<T>)
    return kPartOfValue<typename T::value_type>;
  else if constexpr (IsMap<T>)
    return kPartOfValue<std::remove_cv_t<typename T::key_type>> &&
           kPartOfValue<typename T::mapped_type>;
  else if constexpr (IsRange<T>)
    return kIsElement<typename T::value_type> || kIsByte<typename T::value_type> ||
           kPartOfValue<std::remove_cv_t<typename T::value_type>>;
  else if constexpr (IsTuple<T>)
    return []<std::size_t... i>(std::index_sequence<i...>) {
      return (kPartOfValue<std::remove_cvref_t<std::tuple_element_t<i, T>>> && ...);
    }
  (std::make_index_sequence<std::tuple_size_v<T>>());
  else return requires(const T& from) {
    from.as_value();
  };
}

/// Keeps what `from` holds, or a copy of it.
template <class Run>
Content content_of(Run&& from) {
  using T = typename std::remove_cvref_t<Run>::value_type;
  if constexpr (kIsVector<std::remove_cvref_t<Run>> && std::is_rvalue_reference_v<Run&&>) {
    return content_of_vector(std::forward<Run>(from));
  } else {
    const auto size = from.size() * sizeof(T);
    const auto kept =
        std::make_shared<const Bytes>(std::as_bytes(std::span(from.data(), from.size())));
    return {kept, kept->data(), size};
  }
}

// V is Value: a parameter, because it is not complete here.
template <class V, class T>
V into_value(T&& from) {
  using Plain = std::remove_cvref_t<T>;
  if constexpr (std::is_same_v<Plain, V>) {
    return std::forward<T>(from);
  } else if constexpr (std::is_same_v<Plain, std::nullptr_t>) {
    return V();
  } else if constexpr (std::is_same_v<Plain, bool> || std::is_floating_point_v<Plain> ||
                       IsText<Plain>) {
    return V::Plain::make(from);
  } else if constexpr (std::is_integral_v<Plain>) {
    if constexpr (std::is_unsigned_v<Plain> && sizeof(Plain) == 8)
      return V::Plain::whole(static_cast<std::uint64_t>(from));
    else
      return V::Plain::whole(static_cast<std::int64_t>(from));
  } else if constexpr (kIsOptional<Plain>) {
    return from ? into_value<V>(*from) : V();
  } else if constexpr (IsMap<Plain>) {
    typename V::Dict entries;
    for (const auto& [key, value] : from)
      entries.emplace_back(into_value<V>(key), into_value<V>(value));
    return V::dict(std::move(entries));
  } else if constexpr (IsRange<Plain>) {
    using Element = std::remove_cv_t<typename Plain::value_type>;
    if constexpr (IsRun<Plain> && kIsByte<Element>) {
      return V::bytes(content_of(std::forward<T>(from)));
    } else if constexpr (IsRun<Plain> && kIsElement<Element>) {
      const std::uint64_t length = from.size();
      return V::Plain::template numbers<Element>(content_of(std::forward<T>(from)), length);
    } else {
      typename V::List values;
      for (const auto& one : from)
        values.push_back(into_value<V>(static_cast<const Element&>(one)));
      return V::list(std::move(values));
    }
  } else if constexpr (IsTuple<Plain>) {
    return std::apply(
        [](const auto&... one) { return V::tuple(typename V::List{into_value<V>(one)...}); }, from);
  } else {
    return from.as_value();
  }
}

}  // namespace knee::detail
