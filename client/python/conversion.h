#pragma once
#include <knee/value.h>

#include <optional>

#include "client/python/python.h"

/// Values to Python and back. With the lock of the interpreter held. They throw what Python raises.
namespace knee::python {

/// Buffers become numpy arrays, or `array.array` where there is no numpy; those that were lists,
/// lists. Objects of this process are themselves, others become `knee.Object` or `knee.Callback`.
py::object to_python(const Value& value);

/// A copy of what is plain data: None, numbers, text, bytes, lists, tuples, sets, ranges and dicts,
/// arrays; anything else is an object, also within those.
Value from_python(const py::handle& object);

/// The same for what is so small that a copy costs nothing; none: it is not.
std::optional<Value> small_from_python(const py::handle& object);

}  // namespace knee::python
