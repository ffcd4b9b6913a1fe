#pragma once
#include <knee/detail/object.h>

namespace knee::python {

/// Starts the interpreter, once, on the main thread, and gives the object by which the session is
/// used: `execute`, `eval`, `module` and items. Throws std::runtime_error if there is no Python.
detail::ObjectRef start_session();

}  // namespace knee::python
