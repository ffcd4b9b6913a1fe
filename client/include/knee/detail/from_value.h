#pragma once
#include <cstring>
#include <limits>

#include <knee/detail/large_block.h>
#include <knee/value.h>

/// How a Value becomes C++ values. Not part of the promise.
namespace knee::detail {

[[noreturn]] KNEE_EXPORT void wrong_kind(const Value& value, std::string_view wanted);
[[noreturn]] KNEE_EXPORT void out_of_range(const Value& value, std::string_view wanted);

using Element = Value::Buffer::Element;

template <class T>
constexpr Element element_of() {
  if constexpr (std::is_same_v<T, std::complex<float>>)
    return Element::complex64;
  else if constexpr (std::is_same_v<T, std::complex<double>>)
    return Element::complex128;
  else if constexpr (std::is_floating_point_v<T>)
    return sizeof(T) == 4 ? Element::float32 : Element::float64;
  else if constexpr (std::is_signed_v<T>)
    return sizeof(T) == 1   ? Element::int8
           : sizeof(T) == 2 ? Element::int16
           : sizeof(T) == 4 ? Element::int32
                            : Element::int64;
  else
    return sizeof(T) == 1   ? Element::uint8
           : sizeof(T) == 2 ? Element::uint16
           : sizeof(T) == 4 ? Element::uint32
                            : Element::uint64;
}

/// Makes the kinds that `into_value` cannot name.
struct PlainValue {
  static Value make(bool value) { return Value(Value::Data(std::in_place_index<1>, value)); }
  static Value make(double value) { return Value(Value::Data(std::in_place_index<4>, value)); }
  static Value make(std::string_view text) {
    return Value(Value::Data(std::in_place_index<5>, text));
  }
  static Value make(std::string text) {
    return Value(Value::Data(std::in_place_index<5>, std::move(text)));
  }
  static Value make(const char* text) { return make(std::string_view(text)); }
  static Value whole(std::int64_t value) {
    return Value(Value::Data(std::in_place_index<2>, value));
  }
  static Value whole(std::uint64_t value) {
    if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      return whole(static_cast<std::int64_t>(value));
    return Value(Value::Data(std::in_place_index<3>, Value::Digits{std::to_string(value)}));
  }
  template <class T>
  static Value numbers(Content content, std::uint64_t length) {
    return Value(Value::Data(std::in_place_index<10>,
                             Value::Buffer{element_of<T>(), {length}, std::move(content), false}));
  }
  static Value digits(std::string text) {
    return Value(Value::Data(std::in_place_index<3>, Value::Digits{std::move(text)}));
  }
};

/// Whether every T1 is a T2, or else this one.
template <class To, class From>
bool number_fits(From from) {
  if constexpr (std::is_floating_point_v<To>)
    return true;
  else if constexpr (std::is_floating_point_v<From>)
    return from == std::trunc(from) && from >= static_cast<From>(std::numeric_limits<To>::min()) &&
           from < std::ldexp(static_cast<From>(1), std::numeric_limits<To>::digits);
  else
    return std::in_range<To>(from);
}

/// Calls `use` with each element, as the type that it has.
template <class Use>
void each_element(const Value::Buffer& buffer, Use use) {
  const auto all = [&]<class T>(T one) {
    for (std::size_t i = 0; i < buffer.content.size / sizeof(T); ++i) {
      std::memcpy(&one, buffer.content.data + i * sizeof(T), sizeof(T));
      use(one);
    }
  };
  switch (buffer.element) {
    case Element::boolean:
    case Element::uint8:
      return all(std::uint8_t());
    case Element::int8:
      return all(std::int8_t());
    case Element::int16:
      return all(std::int16_t());
    case Element::int32:
      return all(std::int32_t());
    case Element::int64:
      return all(std::int64_t());
    case Element::uint16:
      return all(std::uint16_t());
    case Element::uint32:
      return all(std::uint32_t());
    case Element::uint64:
      return all(std::uint64_t());
    case Element::float32:
      return all(float());
    case Element::float64:
      return all(double());
    case Element::complex64:
      return all(std::complex<float>());
    case Element::complex128:
      return all(std::complex<double>());
  }
}

template <class T, class From>
T number_from(const Value& value, From from) {
  if constexpr (kIsComplexNumber<T>) {
    return T(from);
  } else if constexpr (kIsComplexNumber<From>) {
    wrong_kind(value, "real numbers");
  } else {
    if (!number_fits<T>(from)) out_of_range(value, "a number of this type");
    return static_cast<T>(from);
  }
}

template <class T>
std::vector<T> numbers_from(const Value& value) {
  const auto& buffer = value.as_buffer();
  std::vector<T> numbers;
  numbers.reserve(buffer.elements());
  LargeBlock::prefer_large_pages(numbers.data(), buffer.elements() * sizeof(T));
  LargeBlock::fault_in(numbers.data(), buffer.elements() * sizeof(T));
  // Each number is written once, with no zero before it.
  const std::byte* const from = buffer.content.data;
  if (buffer.element == element_of<T>() && reinterpret_cast<std::uintptr_t>(from) % alignof(T) == 0)
    numbers.assign(reinterpret_cast<const T*>(from),
                   reinterpret_cast<const T*>(from) + buffer.elements());
  else
    each_element(buffer, [&](auto one) { numbers.push_back(number_from<T>(value, one)); });
  return numbers;
}

/// What a list, or what is as good as one, holds.
KNEE_EXPORT Value::List list_from(const Value& value);

template <class T>
T whole_from(const Value& value) {
  if (value.kind() == Value::Kind::boolean) return static_cast<T>(value.as_boolean());
  if constexpr (std::is_same_v<T, std::uint64_t> || std::is_same_v<T, unsigned long long>) {
    if (value.kind() == Value::Kind::big_integer) {
      const auto digits = value.as_digits();
      if (digits[0] == '-' || digits.size() > 20 ||
          (digits.size() == 20 && digits > "18446744073709551615"))
        out_of_range(value, "a number of this type");
      return std::stoull(digits);
    }
  }
  if (value.kind() == Value::Kind::big_integer) out_of_range(value, "a number of this type");
  const auto number = value.as_integer();
  // What std::in_range takes: char and the like are no integers to it.
  using Integer =
      std::conditional_t<std::is_signed_v<T>, std::make_signed_t<T>, std::make_unsigned_t<T>>;
  if (!std::in_range<Integer>(number)) out_of_range(value, "a number of this type");
  return static_cast<T>(number);
}

template <class T>
T from_value(const Value& value) {
  if constexpr (std::is_same_v<T, Value>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value.as_boolean();
  } else if constexpr (std::is_integral_v<T>) {
    return whole_from<T>(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value.as_real());
  } else if constexpr (kIsComplexNumber<T>) {
    return T(from_value<typename T::value_type>(value));
  } else if constexpr (std::is_same_v<T, std::byte>) {
    return std::byte(whole_from<std::uint8_t>(value));
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (value.kind() == Value::Kind::bytes) return std::string(value.as_bytes());
    return value.as_text();
  } else if constexpr (kIsOptional<T>) {
    if (value.is_none()) return std::nullopt;
    return from_value<typename T::value_type>(value);
  } else if constexpr (IsMap<T>) {
    T map;
    for (const auto& [key, one] : value.as_dict())
      map.emplace(from_value<typename T::key_type>(key), from_value<typename T::mapped_type>(one));
    return map;
  } else if constexpr (kIsVector<T>) {
    using E = typename T::value_type;
    if constexpr (kIsByte<E> || (sizeof(E) == 1 && std::is_integral_v<E>)) {
      if (value.kind() == Value::Kind::bytes) {
        const auto* begin = reinterpret_cast<const E*>(value.content().data);
        return T(begin, begin + value.content().size);
      }
    }
    if constexpr (kIsElement<E>) {
      if (value.numbers() != nullptr) return numbers_from<E>(value);
    }
    T values;
    for (const auto& one : list_from(value)) values.push_back(from_value<E>(one));
    return values;
  } else if constexpr (IsRange<T> && requires(T range) {
                         range.insert(range.end(), std::declval<typename T::value_type>());
                       }) {
    T values;
    for (const auto& one : list_from(value))
      values.insert(values.end(), from_value<typename T::value_type>(one));
    return values;
  } else if constexpr (requires { std::tuple_size<T>::value; }) {
    const auto parts = list_from(value);
    if (parts.size() != std::tuple_size_v<T>)
      out_of_range(value, std::to_string(std::tuple_size_v<T>) + " values");
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return T{from_value<std::remove_cvref_t<std::tuple_element_t<i, T>>>(parts[i])...};
    }
    (std::make_index_sequence<std::tuple_size_v<T>>());
  } else {
    static_assert(
        requires { T::from_value(value); }, "knee: a Value cannot be turned into this type");
    return T::from_value(value);
  }
}

/// Of a value that is not needed any more.
template <class T>
T from_sole_value(Value& value) {
  if constexpr (std::is_same_v<T, Value>) {
    return std::move(value);
  } else {
    if constexpr (kIsVector<T>) {
      if constexpr (kIsElement<typename T::value_type>) {
        const auto* buffer = value.numbers();
        const bool same =
            buffer != nullptr && buffer->element == element_of<typename T::value_type>();
        if (auto* vector = same ? sole_vector<T>(buffer->content) : nullptr) {
          T numbers = std::move(*vector);
          value = Value();
          return numbers;
        }
      }
    }
    return from_value<T>(value);
  }
}

}  // namespace knee::detail
