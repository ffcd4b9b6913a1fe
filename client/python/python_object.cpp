#include "python_object.h"

#include <optional>

#include "client/call/exception_text.h"
#include "client/python/conversion.h"

namespace knee::python {
namespace {

using detail::ExceptionText;
using detail::Use;
using detail::UseResult;
using What = detail::Use::What;

// Of Python, which is never ended: they are never let go.
py::handle describe_exception;
py::handle flush_streams;
/// How many uses are on the stack: a callback may use what waits for it.
unsigned depth = 0;

ExceptionText text_of(py::error_already_set& error) {
  try {
    const py::object trace = error.trace() ? error.trace() : py::none();
    const auto parts = describe_exception(error.type(), error.value(), trace).cast<py::tuple>();
    return {parts[0].cast<std::string>(), parts[1].cast<std::string>(),
            parts[2].cast<std::string>()};
  } catch (const py::error_already_set& worse) {
    return {"Exception", worse.what(), ""};
  }
}

/// An interrupt that came when nothing ran is for nobody.
void forget_interrupts() {
  while (PyErr_CheckSignals() != 0) PyErr_Clear();
}

py::tuple positional(const std::vector<Value>& arguments) {
  py::tuple all(arguments.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) all[i] = to_python(arguments[i]);
  return all;
}

py::dict by_name(const std::vector<Named>& named) {
  py::dict all;
  for (const auto& one : named) all[py::str(one.name)] = to_python(one.value);
  return all;
}

void want_arguments(const Use& use, std::size_t count) {
  if (use.arguments.size() != count)
    throw std::runtime_error(use.label() + " with a wrong number of arguments");
}

}  // namespace

PythonObject::~PythonObject() {
  const py::gil_scoped_acquire lock;
  object_ = py::object();
}

UseResult PythonObject::use_here(Use& use) {
  const py::gil_scoped_acquire lock;
  if (depth == 0) forget_interrupts();
  ++depth;
  std::optional<ExceptionText> failed;
  UseResult result;
  try {
    if (use.what == What::next) {
      result.value = next(use.at_most);
    } else {
      const py::object given = carry_out(use);
      if (use.wanted == Use::Wanted::copy) {
        result.value = from_python(given);
      } else {
        result.object = std::make_shared<PythonObject>(given);
        auto small = small_from_python(given);
        result.has_value = small.has_value();
        if (small) result.value = std::move(*small);
      }
    }
  } catch (py::error_already_set& error) {
    failed = text_of(error);
  } catch (...) {
    failed = detail::describe_current_exception();
  }
  --depth;
  try {
    flush_streams();
  } catch (const py::error_already_set&) {
    // An interrupt that came too late.
  }
  if (failed) throw detail::ForeignException(std::move(*failed));
  return result;
}

py::object PythonObject::carry_out(Use& use) {
  switch (use.what) {
    case What::attribute:
      return object_.attr(use.name.c_str());
    case What::set_attribute:
      want_arguments(use, 1);
      object_.attr(use.name.c_str()) = to_python(use.arguments[0]);
      return py::none();
    case What::item:
      want_arguments(use, 1);
      return object_[to_python(use.arguments[0])];
    case What::set_item:
      want_arguments(use, 2);
      object_[to_python(use.arguments[0])] = to_python(use.arguments[1]);
      return py::none();
    case What::call: {
      const py::object function =
          use.name.empty() ? object_ : py::object(object_.attr(use.name.c_str()));
      auto arguments = positional(use.arguments);
      auto named = by_name(use.named);
      // Large ones are in Python now.
      use.arguments.clear();
      use.named.clear();
      return function(*arguments, **named);
    }
    case What::iterate:
      return py::iter(object_);
    case What::text:
      return py::str(object_);
    case What::representation:
      return py::repr(object_);
    case What::length:
      return py::int_(py::len(object_));
    case What::copy:
    case What::next:
      break;
  }
  return object_;
}

Value PythonObject::next(std::uint32_t at_most) {
  if (!PyIter_Check(object_.ptr())) throw std::runtime_error("this is no iterator");
  return chunks_.next(at_most, [this]() -> std::optional<Value> {
    try {
      const auto item = py::reinterpret_steal<py::object>(PyIter_Next(object_.ptr()));
      if (item) return from_python(item);
      if (PyErr_Occurred() != nullptr) throw py::error_already_set();
      return std::nullopt;
    } catch (py::error_already_set& error) {
      // As text: it may be told when the lock is not held.
      throw detail::ForeignException(text_of(error));
    }
  });
}

void set_helpers(py::object describe, py::object flush) {
  describe_exception = describe.release();
  flush_streams = flush.release();
}

}  // namespace knee::python
