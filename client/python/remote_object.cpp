#include "remote_object.h"

#include <knee/error.h>
#include <knee/object.h>

#include <iterator>
#include <memory>
#include <utility>

#include "client/python/conversion.h"
#include "client/worker/object_host.h"

namespace knee::python {
namespace {

using detail::Use;
using What = detail::Use::What;

py::handle error_type;

class Remote {
 public:
  explicit Remote(detail::ObjectRef object) : object_(std::move(object)) {}
  const detail::ObjectRef& object() const { return object_; }

 private:
  detail::ObjectRef object_;
};

/// One that can be called and used in no other way. A type of its own: Python finds out by a type's
/// methods what its objects are good for, and takes what has `__iter__` for a list.
class Callback : public Remote {
 public:
  using Remote::Remote;
};

/// `knee.Error` with the text of what was thrown elsewhere.
[[noreturn]] void raise(const Error& error) {
  if (error.exception_type() == "AttributeError") throw py::attribute_error(error.exception_text());
  if (error.exception_type() == "TypeError") throw py::type_error(error.exception_text());
  std::string text = error.what();
  if (!error.exception_type().empty() && error.exception_type() != "knee::Error")
    text = error.exception_type() + ": " + text;
  PyErr_SetString(error_type.ptr(), text.c_str());
  throw py::error_already_set();
}

/// Does what waits for others: they run, and what the driver calls meanwhile.
template <class Action>
auto wait_in(Action action) {
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  try {
    const py::gil_scoped_release unlocked;
    return action();
  } catch (const worker::Interrupted&) {
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    throw;
  } catch (const Error& error) {
    raise(error);
  }
}

py::object use(const Remote& remote, Use wanted) {
  wanted.wanted = Use::Wanted::copy;
  return to_python(wait_in(
      [&] { return Promise<Value>(remote.object()->use(std::move(wanted), nullptr)).get(); }));
}

/// What `for` goes through. Items are fetched ahead, in chunks.
class Items {
 public:
  explicit Items(const Remote& remote)
      : place_(wait_in([&] { return Object(remote.object()).begin(); })) {}
  Items(const Items&) = delete;

  py::object next() {
    // Others run meanwhile, and may have this iterator too.
    if (busy_) throw py::value_error("what comes next is being waited for already");
    busy_ = true;
    const std::unique_ptr<bool, void (*)(bool*)> end(&busy_, [](bool* busy) { *busy = false; });
    if (std::exchange(begun_, true)) wait_in([&] { ++place_; });
    if (place_ == std::default_sentinel) throw py::stop_iteration();
    return to_python(*place_);
  }

 private:
  Object::Iterator place_;
  bool begun_ = false;
  bool busy_ = false;
};

py::object call(const Remote& remote, const py::args& arguments, const py::kwargs& named) {
  Use wanted{.what = What::call};
  for (const auto& one : arguments) wanted.arguments.push_back(from_python(one));
  for (const auto& [name, one] : named)
    wanted.named.push_back({name.cast<std::string>(), from_python(one)});
  return use(remote, std::move(wanted));
}

py::object text(const Remote& remote) {
  return use(remote, {.what = What::text});
}

py::object attribute(const Remote& remote, const std::string& name) {
  // Python asks for these to find out what something is.
  if (name.starts_with("__") && name.ends_with("__")) throw py::attribute_error(name);
  return use(remote, {.what = What::attribute, .name = name});
}

}  // namespace

void define_remote_objects() {
  auto module = py::reinterpret_borrow<py::module_>(PyImport_AddModule("knee"));
  error_type = py::exception<Error>(module, "Error", PyExc_RuntimeError).release();
  py::class_<Items>(module, "Items", "What is in an object of the driver, one after the other.")
      .def("__iter__", [](const py::object& items) { return items; })
      .def("__next__", &Items::next);
  py::class_<Remote>(module, "Object", "An object of the driver.")
      .def("__call__", &call)
      .def("__getattr__", &attribute)
      .def("__setattr__",
           [](const Remote& remote, const std::string& name, const py::object& value) {
             use(remote,
                 {.what = What::set_attribute, .name = name, .arguments = {from_python(value)}});
           })
      .def("__getitem__",
           [](const Remote& remote, const py::object& key) {
             return use(remote, {.what = What::item, .arguments = {from_python(key)}});
           })
      .def("__setitem__",
           [](const Remote& remote, const py::object& key, const py::object& value) {
             use(remote,
                 {.what = What::set_item, .arguments = {from_python(key), from_python(value)}});
           })
      .def("__iter__", [](const Remote& remote) { return std::make_unique<Items>(remote); })
      // "if function:" asks whether there is one.
      .def("__bool__", [](const Remote&) { return true; })
      .def("__len__", [](const Remote& remote) { return use(remote, {.what = What::length}); })
      .def("__str__", &text);
  py::class_<Callback>(module, "Callback", "A function of the driver.")
      // pybind11 is not told that it is a Remote, whose methods it would have then.
      .def("__call__", [](const Callback& callback, const py::args& arguments,
                          const py::kwargs& named) { return call(callback, arguments, named); })
      .def("__str__", [](const Callback& callback) { return text(callback); });
}

py::object remote_object(detail::ObjectRef object) {
  if (object->only_callable()) return py::cast(std::make_unique<Callback>(std::move(object)));
  return py::cast(std::make_unique<Remote>(std::move(object)));
}

detail::ObjectRef remote_of(const py::handle& object) {
  if (py::isinstance<Callback>(object)) return object.cast<const Callback&>().object();
  if (!py::isinstance<Remote>(object)) return nullptr;
  return object.cast<const Remote&>().object();
}

}  // namespace knee::python
