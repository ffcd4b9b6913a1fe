#pragma once
// pybind11's headers, as all files here include them.
#include <pybind11/embed.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace knee::python {
namespace py = pybind11;
}  // namespace knee::python
