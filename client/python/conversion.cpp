#include "conversion.h"

#include <array>
#include <cstring>
#include <limits>

#include "client/call/chunks.h"
#include "client/python/python_object.h"
#include "client/python/remote_object.h"

namespace knee::python {
namespace {

using detail::as_numbers;
using detail::Content;
using Buffer = Value::Buffer;
using Element = Buffer::Element;
using Kind = Value::Kind;

/// As ValueWriter has it: what is deeper stays an object.
constexpr unsigned kDeepest = 20;
/// A copy of fewer bytes costs less than another call.
constexpr Py_ssize_t kSmall = 4096;

struct ElementName {
  Element element;
  const char* numpy;  ///< dtype
  char array;         ///< of the module array; 0: it has none
};
constexpr ElementName kElements[] = {
    {Element::boolean, "?", 0},      {Element::int8, "i1", 'b'},    {Element::int16, "i2", 'h'},
    {Element::int32, "i4", 'i'},     {Element::int64, "i8", 'q'},   {Element::uint8, "u1", 'B'},
    {Element::uint16, "u2", 'H'},    {Element::uint32, "u4", 'I'},  {Element::uint64, "u8", 'Q'},
    {Element::float32, "f4", 'f'},   {Element::float64, "f8", 'd'}, {Element::complex64, "c8", 0},
    {Element::complex128, "c16", 0},
};

py::bytes bytes_from(const Content& content) {
  return {reinterpret_cast<const char*>(content.data), content.size};
}

// --- to Python

bool has_numpy() {
  static const bool has = [] {
    try {
      py::module_::import("numpy");
      return true;
    } catch (const py::error_already_set&) {
      return false;
    }
  }();
  return has;
}

py::object list_to_python(const Value& value) {
  const auto& buffer = value.as_buffer();
  py::list list(buffer.elements());
  Py_ssize_t i = 0;
  const auto put = [&](PyObject* one) {
    if (one == nullptr) throw py::error_already_set();
    PyList_SET_ITEM(list.ptr(), i++, one);
  };
  const bool truth = buffer.element == Element::boolean;
  detail::each_element(buffer, [&]<class T>(T one) {
    if constexpr (detail::kIsComplexNumber<T>)
      put(PyComplex_FromDoubles(one.real(), one.imag()));
    else if constexpr (std::is_floating_point_v<T>)
      put(PyFloat_FromDouble(one));
    else if (truth)
      put(PyBool_FromLong(one));
    else if constexpr (std::is_signed_v<T>)
      put(PyLong_FromLongLong(one));
    else
      put(PyLong_FromUnsignedLongLong(one));
  });
  return list;
}

/// An array on the memory that the value came in.
py::object array_to_python(const Buffer& buffer) {
  const auto& name = kElements[static_cast<std::size_t>(buffer.element)];
  if (!has_numpy()) {
    if (name.array == 0 || buffer.shape.size() != 1)
      throw std::runtime_error(
          "an array of this kind needs numpy, which is not there (Debian: python3-numpy)");
    auto array = py::module_::import("array").attr("array")(std::string(1, name.array));
    array.attr("frombytes")(py::memoryview::from_memory(
        buffer.content.data, static_cast<py::ssize_t>(buffer.content.size)));
    return array;
  }
  auto* kept = new std::shared_ptr<const void>(buffer.content.owner);
  const py::capsule owner(
      kept, [](void* pointer) { delete static_cast<std::shared_ptr<const void>*>(pointer); });
  return py::array(py::dtype(std::string(name.numpy)),
                   std::vector<py::ssize_t>(buffer.shape.begin(), buffer.shape.end()),
                   buffer.content.data, owner);
}

py::object object_to_python(const detail::ObjectRef& object) {
  if (!object) return py::none();
  if (const auto* own = dynamic_cast<const PythonObject*>(object.get())) return own->object();
  return remote_object(object);
}

// --- from Python

/// The memory behind an object, as long as this lives.
class Memory {
 public:
  explicit Memory(const py::handle& object) {
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_FULL_RO) != 0) {
      PyErr_Clear();
      return;
    }
    held_ = true;
  }
  ~Memory() {
    if (held_) PyBuffer_Release(&view_);
  }
  Memory(const Memory&) = delete;

  std::optional<Element> element() const {
    if (!held_ || view_.ndim < 1) return std::nullopt;
    const std::string_view format = view_.format != nullptr ? view_.format : "B";
    const bool prefixed = format[0] == '@' || format[0] == '=' || format[0] == '<';
    return element_of(format.substr(prefixed ? 1 : 0));
  }
  /// A copy: what Python has may change.
  Buffer copy(Element element) const {
    Buffer buffer;
    buffer.element = element;
    for (int i = 0; i < view_.ndim; ++i)
      buffer.shape.push_back(static_cast<std::uint64_t>(view_.shape[i]));
    auto bytes = std::make_shared<detail::Bytes>();
    const auto size = static_cast<std::size_t>(view_.len);
    auto* to = bytes->extend(size);
    if (PyBuffer_ToContiguous(to, &view_, view_.len, 'C') != 0) throw py::error_already_set();
    buffer.content = {std::move(bytes), to, size};
    return buffer;
  }

 private:
  std::optional<Element> element_of(std::string_view format) const {
    if (format == "Zf") return Element::complex64;
    if (format == "Zd") return Element::complex128;
    if (format.size() != 1) return std::nullopt;
    constexpr std::string_view kSigned = "bhilqn";
    constexpr std::string_view kUnsigned = "BHILQN";
    if (format == "?") return Element::boolean;
    if (format == "f") return Element::float32;
    if (format == "d") return Element::float64;
    if (kSigned.find(format) != kSigned.npos) return of_size(Element::int8);
    if (kUnsigned.find(format) != kUnsigned.npos) return of_size(Element::uint8);
    return std::nullopt;
  }
  std::optional<Element> of_size(Element smallest) const {
    for (int i = 0; i < 4; ++i)
      if (view_.itemsize == Py_ssize_t{1} << i)
        return static_cast<Element>(static_cast<int>(smallest) + i);
    return std::nullopt;
  }

  Py_buffer view_{};
  bool held_ = false;
};

Value whole_from(const py::handle& object) {
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
  if (overflow == 0) {
    if (number == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    return number;
  }
  // int() of a subclass may say anything of itself.
  const auto plain = py::reinterpret_steal<py::object>(PyNumber_Long(object.ptr()));
  return Value::big_integer(py::str(plain).cast<std::string>());
}

Value text_from(const py::handle& object) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
  if (text == nullptr) throw py::error_already_set();
  return std::string_view(text, static_cast<std::size_t>(size));
}

/// They do not change: they are kept, and let go under the lock.
Value bytes_from(const py::handle& object) {
  struct Keep {
    explicit Keep(const py::handle& kept) : object(py::reinterpret_borrow<py::object>(kept)) {}
    Keep(const Keep&) = delete;
    ~Keep() {
      const py::gil_scoped_acquire lock;
      object = py::object();
    }
    py::object object;
  };
  const auto* data = reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(object.ptr()));
  return Value::bytes(Content{std::make_shared<Keep>(object), data,
                              static_cast<std::size_t>(PyBytes_GET_SIZE(object.ptr()))});
}

bool is_numpy_number(const py::handle& object) {
  // Without numpy nothing is one; it is not imported to find that out.
  static py::handle generic;
  if (!generic) {
    const auto modules = py::module_::import("sys").attr("modules").cast<py::dict>();
    if (!modules.contains("numpy")) return false;
    const py::object numpy = modules["numpy"];
    if (!py::hasattr(numpy, "generic")) return false;  // it is being imported
    generic = py::object(numpy.attr("generic")).release();
  }
  return py::isinstance(object, generic);
}

/// Single values; none: it is something else.
std::optional<Value> single_from(const py::handle& object) {
  auto* const raw = object.ptr();
  if (raw == Py_None) return Value();
  if (PyBool_Check(raw)) return Value(raw == Py_True);
  if (PyLong_Check(raw)) return whole_from(object);
  if (PyFloat_Check(raw)) return Value(PyFloat_AS_DOUBLE(raw));
  if (PyUnicode_Check(raw)) return text_from(object);
  if (PyBytes_Check(raw)) return bytes_from(object);
  return std::nullopt;
}

Value copy_of(const py::handle& object, unsigned depth);

Value::List items_of(const py::handle& range, unsigned depth) {
  Value::List items;
  for (const auto item : py::reinterpret_borrow<py::object>(range))
    items.push_back(copy_of(item, depth));
  return items;
}

Value dict_from(const py::handle& object, unsigned depth) {
  Value::Dict entries;
  for (const auto& [key, value] : py::reinterpret_borrow<py::dict>(object))
    entries.emplace_back(copy_of(key, depth), copy_of(value, depth));
  return Value::dict(std::move(entries));
}

Value object_from(const py::handle& object) {
  if (auto remote = remote_of(object)) return Value(std::move(remote));
  return Value(detail::ObjectRef(
      std::make_shared<PythonObject>(py::reinterpret_borrow<py::object>(object))));
}

Value copy_of(const py::handle& object, unsigned depth) {
  if (auto single = single_from(object)) return std::move(*single);
  if (depth == kDeepest) return object_from(object);
  auto* const raw = object.ptr();
  if (PyList_Check(raw)) return as_numbers(items_of(object, depth + 1));
  if (PyTuple_Check(raw)) return Value::tuple(items_of(object, depth + 1));
  if (PyAnySet_Check(raw) || PyRange_Check(raw)) return as_numbers(items_of(object, depth + 1));
  if (PyDict_Check(raw)) return dict_from(object, depth + 1);
  if (PyByteArray_Check(raw))
    return Value::bytes(std::string_view(PyByteArray_AS_STRING(raw),
                                         static_cast<std::size_t>(PyByteArray_GET_SIZE(raw))));
  if (is_numpy_number(object)) {
    const py::object number = object.attr("item")();
    if (auto single = single_from(number)) return std::move(*single);
    return object_from(object);
  }
  if (PyObject_CheckBuffer(raw)) {
    const Memory memory(object);
    if (const auto element = memory.element()) return Value::buffer(memory.copy(*element));
  }
  return object_from(object);
}

}  // namespace

py::object to_python(const Value& value) {
  if (value.kind() == Kind::list && value.numbers() != nullptr) return list_to_python(value);
  switch (value.kind()) {
    case Kind::none:
      break;
    case Kind::boolean:
      return py::bool_(value.as_boolean());
    case Kind::integer:
      return py::int_(value.as_integer());
    case Kind::big_integer: {
      auto* number = PyLong_FromString(value.as_digits().c_str(), nullptr, 10);
      if (number == nullptr) throw py::error_already_set();
      return py::reinterpret_steal<py::object>(number);
    }
    case Kind::real:
      return py::float_(value.as_real());
    case Kind::text:
      return py::str(value.as_text());
    case Kind::bytes:
      return bytes_from(value.content());
    case Kind::list: {
      py::list list;
      for (const auto& one : value.values()) list.append(to_python(one));
      return list;
    }
    case Kind::tuple: {
      py::tuple tuple(value.values().size());
      for (std::size_t i = 0; i < tuple.size(); ++i) tuple[i] = to_python(value.values()[i]);
      return tuple;
    }
    case Kind::dict: {
      py::dict dict;
      for (const auto& [key, one] : value.as_dict()) dict[to_python(key)] = to_python(one);
      return dict;
    }
    case Kind::buffer:
      return array_to_python(value.as_buffer());
    case Kind::object:
      return object_to_python(value.object());
  }
  return py::none();
}

Value from_python(const py::handle& object) {
  return copy_of(object, 0);
}

std::optional<Value> small_from_python(const py::handle& object) {
  if (PyUnicode_Check(object.ptr()) && PyUnicode_GET_LENGTH(object.ptr()) > kSmall)
    return std::nullopt;
  if (PyBytes_Check(object.ptr()) && PyBytes_GET_SIZE(object.ptr()) > kSmall) return std::nullopt;
  return single_from(object);
}

}  // namespace knee::python
