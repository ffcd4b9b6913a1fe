#include <knee/error.h>
#include <knee/value.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace knee {
namespace {

[[noreturn]] void fail(std::string text) {
  throw Error(Error::Kind::usage, text);
}

}  // namespace

std::size_t Value::Buffer::size_of(Element element) {
  switch (element) {
    case Element::boolean:
    case Element::int8:
    case Element::uint8:
      return 1;
    case Element::int16:
    case Element::uint16:
      return 2;
    case Element::int32:
    case Element::uint32:
    case Element::float32:
      return 4;
    case Element::int64:
    case Element::uint64:
    case Element::float64:
    case Element::complex64:
      return 8;
    case Element::complex128:
      return 16;
  }
  return 1;
}

Value Value::bytes(std::string_view bytes) {
  auto kept = std::make_shared<std::string>(bytes);
  const auto* data = reinterpret_cast<const std::byte*>(kept->data());
  return Value::bytes(detail::Content{std::move(kept), data, bytes.size()});
}

Value Value::buffer(Buffer buffer) {
  std::uint64_t elements = 1;
  for (const auto length : buffer.shape)
    if (__builtin_mul_overflow(elements, length, &elements)) fail("a buffer's shape is too large");
  if (elements > buffer.content.size ||
      elements * Buffer::size_of(buffer.element) != buffer.content.size)
    fail("a buffer is not as long as its shape says");
  if (buffer.list && buffer.shape.size() != 1) fail("a list has one dimension");
  return Value(Data(std::in_place_index<10>, std::move(buffer)));
}

Value Value::big_integer(std::string digits) {
  const std::size_t sign = !digits.empty() && digits[0] == '-' ? 1 : 0;
  if (digits.size() == sign ||
      !std::all_of(digits.begin() + static_cast<std::ptrdiff_t>(sign), digits.end(),
                   [](char c) { return c >= '0' && c <= '9'; }))
    fail("'" + digits + "' is no whole number");
  std::int64_t number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (read.ec == std::errc()) return detail::PlainValue::whole(number);
  return detail::PlainValue::digits(std::move(digits));
}

std::string_view Value::kind_name() const noexcept {
  switch (kind()) {
    case Kind::none:
      return "nothing (None)";
    case Kind::boolean:
      return "a truth value";
    case Kind::integer:
      return "an integer";
    case Kind::big_integer:
      return "a large integer";
    case Kind::real:
      return "a floating-point number";
    case Kind::text:
      return "a text";
    case Kind::bytes:
      return "bytes";
    case Kind::list:
      return "a list";
    case Kind::tuple:
      return "a tuple";
    case Kind::dict:
      return "a dict";
    case Kind::buffer:
      return "an array of numbers";
    case Kind::object:
      return "an object";
  }
  return "something unknown";
}

const Value::List& Value::values() const {
  if (const auto* list = std::get_if<7>(&data_)) return *list;
  if (const auto* tuple = std::get_if<8>(&data_)) return *tuple;
  detail::wrong_kind(*this, "a list");
}

Value::List Value::as_list() const {
  return detail::list_from(*this);
}

const Value::Dict& Value::as_dict() const {
  if (const auto* dict = std::get_if<Dict>(&data_)) return *dict;
  detail::wrong_kind(*this, "a dict");
}

const Value::Buffer& Value::as_buffer() const {
  if (const auto* buffer = std::get_if<Buffer>(&data_)) return *buffer;
  detail::wrong_kind(*this, "an array of numbers");
}

bool Value::as_boolean() const {
  if (const auto* boolean = std::get_if<bool>(&data_)) return *boolean;
  detail::wrong_kind(*this, "a truth value");
}

std::int64_t Value::as_integer() const {
  if (const auto* integer = std::get_if<std::int64_t>(&data_)) return *integer;
  detail::wrong_kind(*this, "an integer");
}

std::string Value::as_digits() const {
  if (const auto* digits = std::get_if<Digits>(&data_)) return digits->text;
  return std::to_string(as_integer());
}

double Value::as_real() const {
  if (const auto* real = std::get_if<double>(&data_)) return *real;
  if (const auto* integer = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*integer);
  if (const auto* digits = std::get_if<Digits>(&data_))
    return std::strtod(digits->text.c_str(), nullptr);
  detail::wrong_kind(*this, "a number");
}

const std::string& Value::as_text() const {
  if (const auto* text = std::get_if<std::string>(&data_)) return *text;
  detail::wrong_kind(*this, "a text");
}

const detail::Content& Value::content() const {
  if (const auto* content = std::get_if<detail::Content>(&data_)) return *content;
  detail::wrong_kind(*this, "bytes");
}

std::string_view Value::as_bytes() const {
  return content().text();
}

const detail::ObjectRef& Value::object() const {
  if (const auto* object = std::get_if<detail::ObjectRef>(&data_)) return *object;
  detail::wrong_kind(*this, "an object");
}

bool Value::operator==(const Value& other) const {
  if (kind() != other.kind()) return false;
  if (data_.index() != other.data_.index()) return as_list() == other.as_list();
  if (const auto* content = std::get_if<detail::Content>(&data_))
    return content->text() == other.content().text();
  if (const auto* buffer = std::get_if<Buffer>(&data_)) {
    const auto& theirs = other.as_buffer();
    return buffer->element == theirs.element && buffer->shape == theirs.shape &&
           buffer->list == theirs.list && buffer->content.text() == theirs.content.text();
  }
  switch (kind()) {
    case Kind::list:
    case Kind::tuple:
      return values() == other.values();
    case Kind::dict:
      return as_dict() == other.as_dict();
    case Kind::big_integer:
      return as_digits() == other.as_digits();
    case Kind::boolean:
      return as_boolean() == other.as_boolean();
    case Kind::integer:
      return as_integer() == other.as_integer();
    case Kind::real:
      return as_real() == other.as_real();
    case Kind::text:
      return as_text() == other.as_text();
    case Kind::object:
      return object() == other.object();
    default:
      return true;
  }
}

namespace detail {

void wrong_kind(const Value& value, std::string_view wanted) {
  fail("a value was to be " + std::string(wanted) + " and is " + std::string(value.kind_name()));
}

void out_of_range(const Value& value, std::string_view wanted) {
  std::string text(value.kind_name());
  if (value.kind() == Value::Kind::integer || value.kind() == Value::Kind::big_integer)
    text += ", " + value.as_digits() + ",";
  fail(text + " does not fit " + std::string(wanted));
}

Value::List list_from(const Value& value) {
  if (value.numbers() == nullptr) return value.values();
  Value::List list;
  list.reserve(value.as_buffer().elements());
  const bool truth = value.as_buffer().element == Element::boolean;
  each_element(value.as_buffer(), [&]<class T>(T one) {
    if constexpr (kIsComplexNumber<T>)
      wrong_kind(value, "real numbers");
    else if (truth)
      list.emplace_back(one != T());
    else
      list.emplace_back(one);
  });
  return list;
}

}  // namespace detail
}  // namespace knee
