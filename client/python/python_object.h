#pragma once
#include <knee/detail/object.h>

#include "client/call/chunks.h"
#include "client/python/python.h"

namespace knee::python {

/// A Python object as others use it. Made and copied with the lock of the interpreter held,
/// destroyed on any thread.
class PythonObject final : public detail::LocalObject {
 public:
  explicit PythonObject(py::object object) : object_(std::move(object)) {}
  ~PythonObject() override;

  void* local() noexcept override { return object_.ptr(); }
  /// On the main thread, without the lock.
  detail::UseResult use_here(detail::Use& use) override;
  const py::object& object() const { return object_; }

 private:
  py::object carry_out(detail::Use& use);
  Value next(std::uint32_t at_most);

  py::object object_;
  detail::Chunks chunks_;  ///< of an iteration
};

/// What describes exceptions, and what passes on what streams hold back.
void set_helpers(py::object describe, py::object flush);

}  // namespace knee::python
