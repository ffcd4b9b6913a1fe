#pragma once
#include <knee/detail/object.h>

#include "client/python/python.h"

namespace knee::python {

/// Makes the module `knee`: the types `knee.Object` of objects that are elsewhere and
/// `knee.Callback` of those that can be called and used in no other way, and the exception
/// `knee.Error` that their uses raise.
void define_remote_objects();

/// An object elsewhere, as Python uses it.
py::object remote_object(detail::ObjectRef object);
/// The reverse; null if it is none.
detail::ObjectRef remote_of(const py::handle& object);

}  // namespace knee::python
