#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <knee/detail/export.h>
#include <knee/detail/into_value.h>

namespace knee {

/// A value that says itself of what kind it is: what objects that are used by names (Object) take
/// and give. It is made from and turned into C++ values; each says which.
///
/// Copies share what is large, which does not change. A value like any other: one thread at a time
/// may change it.
class KNEE_EXPORT Value {
 public:
  enum class Kind {
    none,  ///< nothing; None in Python
    boolean,
    integer,      ///< fits std::int64_t
    big_integer,  ///< does not; as_digits() says it
    real,
    text,  ///< UTF-8
    bytes,
    list,
    tuple,  ///< a list of a kind that does not change
    dict,
    buffer,  ///< numbers side by side: a numpy array, a vector
    object   ///< what is no plain data
  };
  using List = std::vector<Value>;
  using Dict = std::vector<std::pair<Value, Value>>;

  /// Numbers of one kind, without gaps, the last index running fastest.
  struct Buffer {
    /// As proto::Buffer.Element has them.
    enum class Element : std::uint8_t {
      boolean,
      int8,
      int16,
      int32,
      int64,
      uint8,
      uint16,
      uint32,
      uint64,
      float32,
      float64,
      complex64,
      complex128
    };
    Element element = Element::uint8;
    std::vector<std::uint64_t> shape;  ///< length of each dimension
    detail::Content content;
    bool list = false;  ///< was a list, or is to become one

    std::size_t elements() const { return content.size / size_of(element); }
    static std::size_t size_of(Element element);
  };

  /// None.
  Value() = default;
  /// From
  /// - numbers, bool, strings, nullptr, std::optional;
  /// - std::vector, array and span of numbers: a buffer, which becomes a numpy array in Python; an
  ///   rvalue vector is not copied;
  /// - std::vector of char or std::byte: bytes;
  /// - other sequences and sets: a list; maps: a dict; pair and tuple: a tuple; of such;
  /// - knee::Object, knee::callback.
  template <class T>
  requires(detail::kIntoValue<std::remove_cvref_t<T>>) Value(T&& from)
      : Value(detail::into_value<Value>(std::forward<T>(from))) {}

  static Value list(List values) { return Value(Data(std::in_place_index<7>, std::move(values))); }
  static Value tuple(List values) { return Value(Data(std::in_place_index<8>, std::move(values))); }
  static Value dict(Dict entries) {
    return Value(Data(std::in_place_index<9>, std::move(entries)));
  }
  /// A list of numbers that become a Python list and not an array.
  template <class T>
  requires(std::is_arithmetic_v<T>) static Value list_of(std::vector<T> numbers) {
    Value value(std::move(numbers));
    if (auto* buffer = std::get_if<Buffer>(&value.data_)) buffer->list = true;
    return value;
  }
  static Value bytes(std::string_view bytes);
  static Value bytes(detail::Content content) {
    return Value(Data(std::in_place_index<6>, std::move(content)));
  }
  /// Throws Error::usage if the shape is not that of the content.
  static Value buffer(Buffer buffer);
  /// `digits`: a whole number in decimal. An integer, if it is one.
  static Value big_integer(std::string digits);

  Kind kind() const noexcept {
    const auto* buffer = numbers();
    return buffer != nullptr && buffer->list ? Kind::list : static_cast<Kind>(data_.index());
  }
  bool is_none() const noexcept { return kind() == Kind::none; }
  /// "a text", "an integer"
  std::string_view kind_name() const noexcept;

  /// As T: what it can be made from, and Object. Lists, tuples and buffers become vectors, sets and
  /// arrays; whole numbers become floating ones; text and bytes become std::string. A buffer of
  /// several dimensions becomes a flat vector. Throws Error::usage if it is of another kind, or out
  /// of range.
  template <class T>
  T get() const& {
    return detail::from_value<T>(*this);
  }
  /// The same; numbers of many megabytes that no other Value shares need not be copied.
  template <class T>
  T get() && {
    return detail::from_sole_value<T>(*this);
  }

  /// Its parts. Throw Error::usage if it is of another kind.
  List as_list() const;  ///< also of a tuple and of a buffer
  const Dict& as_dict() const;
  const Buffer& as_buffer() const;  ///< also of a list that is kept as numbers side by side
  bool as_boolean() const;
  std::int64_t as_integer() const;
  /// Of an integer of any size: in decimal.
  std::string as_digits() const;
  double as_real() const;  ///< also of an integer
  const std::string& as_text() const;
  std::string_view as_bytes() const;
  const detail::Content& content() const;  ///< of bytes

  /// Equal in kind and content; objects if they are the same reference.
  bool operator==(const Value& other) const;

  /// For the library.
  explicit Value(detail::ObjectRef object) : data_(std::in_place_index<11>, std::move(object)) {}
  const detail::ObjectRef& object() const;
  /// Null if it is no buffer, and no list that is kept as one.
  const Buffer* numbers() const noexcept { return std::get_if<Buffer>(&data_); }
  /// Of a list or tuple that is kept as values.
  const List& values() const;
  using Plain = detail::PlainValue;

 private:
  struct Digits {
    std::string text;
    bool operator==(const Digits&) const = default;
  };
  using Data = std::variant<std::monostate, bool, std::int64_t, Digits, double, std::string,
                            detail::Content, List, List, Dict, Buffer, detail::ObjectRef>;
  friend struct detail::PlainValue;
  explicit Value(Data data) : data_(std::move(data)) {}

  Data data_;
};

/// An argument of a call by the name of its parameter: `f(1, named("base", 16))`.
struct Named {
  std::string name;
  Value value;
};
inline Named named(std::string name, Value value) {
  return {std::move(name), std::move(value)};
}

}  // namespace knee

#include <knee/detail/from_value.h>
