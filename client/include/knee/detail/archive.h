#pragma once

#include <bit>
#include <boost/pfr/core.hpp>
#include <cereal/cereal.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include <knee/detail/archive_check.h>
#include <knee/detail/archive_shape.h>
#include <knee/detail/bytes_stream.h>

/// Values to bytes and back. Numbers are little endian and as wide as in memory, sizes are 8 bytes,
/// nothing is aligned or padded, nothing says what type it was: both ends are the same program.
namespace knee::detail {

static_assert(std::endian::native == std::endian::little,
              "knee: values travel little endian; this machine is big endian");

template <class Out, class T>
void write(Out& out, const T& value);
template <class In, class T>
void read(In& in, T& value);

template <class T>
inline constexpr bool kIsCerealBase = kIsA<T, cereal::base_class>;
// What cereal's archive base deals with itself.
template <class T>
inline constexpr bool kIsCerealOwn =
    kIsA<T, cereal::virtual_base_class> || kIsA<T, cereal::DeferredData>;

// What cereal's and the user's functions pass on need not be a value: it exists already, and it may
// be a wrapper that only goes one way.
template <class T>
consteval bool cereal_writes() {
  if constexpr (shape_of<T>() == Shape::kUnknown && std::is_class_v<T>)
    return kCerealOutputs<T> == 1;
  else
    return shape_of<T>() == Shape::kCereal;
}
template <class T>
consteval bool cereal_reads() {
  if constexpr (shape_of<T>() == Shape::kUnknown && std::is_class_v<T>)
    return kCerealInputs<T> == 1;
  else
    return shape_of<T>() == Shape::kCereal;
}

/// The cereal archive that writes to a ByteSink, for the types that need cereal. What Knee can
/// encode by itself it takes away from cereal, also deep inside a cereal type: that is faster for
/// the program and for its compiler, and makes plain aggregates need nothing.
class Writer : public cereal::OutputArchive<Writer> {
  using Base = cereal::OutputArchive<Writer>;

 public:
  explicit Writer(ByteSink& sink) : Base(this), sink_(sink) {}

  ByteSink& sink() noexcept { return sink_; }
  void* context() const noexcept { return sink_.context; }

  // These hide the base's.
  template <class... T>
  Writer& operator()(T&&... values) {
    (put(values), ...);
    return *this;
  }
  template <class T>
  Writer& operator&(T&& value) {
    return (*this)(value);
  }
  template <class T>
  Writer& operator<<(T&& value) {
    return (*this)(value);
  }

  /// Hands `value` to cereal's own machinery.
  template <class T>
  void through_cereal(const T& value) {
    Base::operator()(value);
  }

 private:
  template <class T>
  void put(const T& value) {
    if constexpr (kIsA<T, cereal::SizeTag>)
      write(sink_, static_cast<std::uint64_t>(value.size));
    else if constexpr (kIsA<T, cereal::NameValuePair>)
      put(value.value);
    else if constexpr (kIsA<T, cereal::BinaryData>)
      sink_.bytes.append(value.data, value.size);
    else if constexpr (kIsCerealBase<T>)
      put(*value.base_ptr);
    else if constexpr (kIsCerealOwn<T> || cereal_writes<T>())
      through_cereal(value);
    else
      write(*this, value);
  }

  ByteSink& sink_;
};

/// The cereal archive that reads from a ByteSource; the counterpart of Writer. Every size is
/// checked against the bytes that are left before it is believed.
class Reader : public cereal::InputArchive<Reader> {
  using Base = cereal::InputArchive<Reader>;

 public:
  explicit Reader(ByteSource& source) : Base(this), source_(source) {}

  ByteSource& source() noexcept { return source_; }
  void* context() const noexcept { return source_.context; }

  // These hide the base's.
  template <class... T>
  Reader& operator()(T&&... values) {
    (get(values), ...);
    return *this;
  }
  template <class T>
  Reader& operator&(T&& value) {
    return (*this)(value);
  }
  template <class T>
  Reader& operator>>(T&& value) {
    return (*this)(value);
  }

  template <class T>
  void through_cereal(T& value) {
    Base::operator()(value);
  }

 private:
  // Deduces a const T for cereal's const wrappers; their targets are not const.
  template <class T>
  void get(T& value) {
    using Plain = std::remove_const_t<T>;
    if constexpr (kIsA<Plain, cereal::SizeTag>)
      value.size = source_.take_count(1);
    else if constexpr (kIsA<Plain, cereal::NameValuePair>)
      get(value.value);
    else if constexpr (kIsA<Plain, cereal::BinaryData>)
      get_bytes(value);
    else if constexpr (kIsCerealBase<Plain>)
      get(*value.base_ptr);
    else if constexpr (kIsA<Plain, std::multimap> || kIsA<Plain, std::multiset>)
      read(*this, value);
    else if constexpr (kIsCerealOwn<Plain> || cereal_reads<Plain>())
      through_cereal(value);
    else
      read(*this, value);
  }

  template <class T>
  void get_bytes(const cereal::BinaryData<T>& data) {
    using Element = std::remove_cv_t<std::remove_pointer_t<std::remove_reference_t<T>>>;
    if constexpr (std::is_same_v<Element, bool>) {
      for (std::size_t i = 0; i < data.size; ++i) read(source_, data.data[i]);
    } else {
      const std::byte* const from = source_.take(data.size);
      if (data.size != 0) std::memcpy(data.data, from, data.size);
    }
  }

  ByteSource& source_;
};

// What cereal's own machinery still comes to with these archives, and what its traits look for.
template <class T>
concept Native = std::is_arithmetic_v<T> || kIsA<T, cereal::SizeTag> ||
    kIsA<T, cereal::NameValuePair> || kIsA<T, cereal::BinaryData>;

template <class T>
requires(Native<T>) void save(Writer& writer, const T& value) {
  writer(value);
}
template <class T>
requires(Native<T>) void load(Reader& reader, T& value) {
  reader(value);
}

// The archives' context-free halves ------------------------------------------------------------

template <class T>
void write_scalar(ByteSink& sink, T value) {
  if constexpr (std::is_same_v<T, long double>) {
    // The padding of x86's 80 bits would make equal values differ in their bytes.
    constexpr std::size_t kUsed = __LDBL_MANT_DIG__ == 64 ? 10 : sizeof value;
    std::byte* const to = sink.bytes.extend(sizeof value);
    std::memset(to, 0, sizeof value);
    std::memcpy(to, &value, kUsed);
  } else {
    sink.bytes.append(&value, sizeof value);
  }
}

template <class T>
void read_scalar(ByteSource& source, T& value) {
  const std::byte* const from = source.take(sizeof value);
  if constexpr (std::is_same_v<T, bool>) {
    // Any other bit pattern in a bool is undefined behaviour.
    if (std::to_integer<unsigned>(*from) > 1) [[unlikely]]
      source.fail("a bool is not 0 or 1");
    value = *from == std::byte{1};
  } else {
    std::memcpy(&value, from, sizeof value);
  }
}

/// A string, or a vector of elements that are their own encoding.
template <class T>
void write_block(ByteSink& sink, const T& value) {
  write_scalar(sink, std::uint64_t{value.size()});
  sink.bytes.append(value.data(), value.size() * sizeof(typename T::value_type));
}

template <class T>
void read_block(ByteSource& source, T& value) {
  using Element = typename T::value_type;
  const std::size_t count = source.take_count(sizeof(Element));
  const std::byte* const from = source.take(count * sizeof(Element));
  if (reinterpret_cast<std::uintptr_t>(from) % alignof(Element) == 0) {
    const auto* const first = reinterpret_cast<const Element*>(from);
    value.reserve(count);
    LargeBlock::prefer_large_pages(value.data(), count * sizeof(Element));
    LargeBlock::fault_in(value.data(), count * sizeof(Element));
    value.assign(first, first + count);  // One copy, without filling first.
  } else {
    value.resize(count);
    if (count != 0) std::memcpy(value.data(), from, count * sizeof(Element));
  }
}

// Archives: values made of values --------------------------------------------------------------

template <class Out, class T>
void write_vector(Out& out, const T& value) {
  write_scalar(out.sink(), std::uint64_t{value.size()});
  for (const auto& element : value) write<Out, typename T::value_type>(out, element);
}

template <class In, class T>
void read_vector(In& in, T& value) {
  using Element = typename T::value_type;
  ByteSource& source = in.source();
  const std::size_t count = source.take_count(least_size<Element>());
  value.clear();
  // Memory follows the bytes that are really there, not the count that is claimed.
  const std::size_t likely = source.left() / sizeof(Element) + 16;
  value.reserve(count < likely ? count : likely);
  for (std::size_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<Element, bool>) {
      bool element = false;
      read_scalar(source, element);
      value.push_back(element);
    } else {
      read(in, value.emplace_back());
    }
  }
}

template <class In, class T>
void read_optional(In& in, T& value) {
  bool present = false;
  read_scalar(in.source(), present);
  value.reset();
  if (present) read(in, value.emplace());
}

// cereal inserts each element before the last one, which turns the order of equal keys round.
template <class In, class T>
void read_multi(In& in, T& value) {
  const std::size_t count = in.source().take_count(1);
  value.clear();
  for (std::size_t i = 0; i < count; ++i) {
    typename T::key_type key = typename T::key_type();
    read(in, key);
    if constexpr (kIsA<T, std::multimap>) {
      typename T::mapped_type mapped = typename T::mapped_type();
      read(in, mapped);
      value.emplace_hint(value.end(), std::move(key), std::move(mapped));
    } else {
      value.emplace_hint(value.end(), std::move(key));
    }
  }
}

/// `Out` is a ByteSink for types that are direct, else a Writer.
template <class Out, class T>
void write(Out& out, const T& value) {
  check_value<T>();
  if constexpr (travels<T>()) {
    constexpr Shape kShape = shape_of<T>();
    ByteSink& sink = out.sink();
    if constexpr (!std::is_same_v<Out, ByteSink> && is_direct<T>()) {
      write(sink, value);
    } else if constexpr (is_packed<T>()) {
      sink.bytes.append(&value, sizeof value);
    } else if constexpr (kShape == Shape::kScalar) {
      write_scalar(sink, value);
    } else if constexpr (kShape == Shape::kContext) {
      ContextCodec<T>::write(sink, value);
    } else if constexpr (kShape == Shape::kString) {
      write_block(sink, value);
    } else if constexpr (kShape == Shape::kVector) {
      if constexpr (is_packed<typename T::value_type>())
        write_block(sink, value);
      else
        write_vector(out, value);
    } else if constexpr (kShape == Shape::kArray) {
      for (const auto& element : value) write(out, element);
    } else if constexpr (kShape == Shape::kComplex) {
      write(out, value.real());
      write(out, value.imag());
    } else if constexpr (kShape == Shape::kTuple) {
      std::apply([&out](const auto&... part) { (write(out, part), ...); }, value);
    } else if constexpr (kShape == Shape::kOptional) {
      write_scalar(sink, value.has_value());
      if (value) write(out, *value);
    } else if constexpr (std::is_empty_v<T> && kShape == Shape::kAggregate) {
      write_scalar(sink, std::uint8_t{0});  // So that a count is never above the bytes left.
    } else if constexpr (kShape == Shape::kAggregate) {
      boost::pfr::for_each_field(value, [&out](const auto& field) { write(out, field); });
    } else {
      out.through_cereal(value);
    }
  }
}

/// `In` is a ByteSource for types that are direct, else a Reader.
template <class In, class T>
void read(In& in, T& value) {
  check_value<T>();
  if constexpr (travels<T>()) {
    constexpr Shape kShape = shape_of<T>();
    ByteSource& source = in.source();
    if constexpr (!std::is_same_v<In, ByteSource> && is_direct<T>()) {
      read(source, value);
    } else if constexpr (is_packed<T>()) {
      std::memcpy(&value, source.take(sizeof value), sizeof value);
    } else if constexpr (kShape == Shape::kScalar) {
      read_scalar(source, value);
    } else if constexpr (kShape == Shape::kContext) {
      ContextCodec<T>::read(source, value);
    } else if constexpr (kShape == Shape::kString) {
      read_block(source, value);
    } else if constexpr (kShape == Shape::kVector) {
      if constexpr (is_packed<typename T::value_type>())
        read_block(source, value);
      else
        read_vector(in, value);
    } else if constexpr (kShape == Shape::kArray) {
      for (auto& element : value) read(in, element);
    } else if constexpr (kShape == Shape::kComplex) {
      typename T::value_type parts[2] = {};
      read(in, parts);
      value = T{parts[0], parts[1]};
    } else if constexpr (kShape == Shape::kTuple) {
      std::apply([&in](auto&... part) { (read(in, part), ...); }, value);
    } else if constexpr (kShape == Shape::kOptional) {
      read_optional(in, value);
    } else if constexpr (std::is_empty_v<T> && kShape == Shape::kAggregate) {
      source.take(1);
    } else if constexpr (kShape == Shape::kAggregate) {
      boost::pfr::for_each_field(value, [&in](auto& field) { read(in, field); });
    } else if constexpr (kIsA<T, std::multimap> || kIsA<T, std::multiset>) {
      read_multi(in, value);
    } else {
      in.through_cereal(value);
    }
  }
}

}  // namespace knee::detail

CEREAL_REGISTER_ARCHIVE(knee::detail::Writer)
CEREAL_REGISTER_ARCHIVE(knee::detail::Reader)
CEREAL_SETUP_ARCHIVE_TRAITS(knee::detail::Reader, knee::detail::Writer)
