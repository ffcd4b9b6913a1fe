#pragma once

#include <cstdint>

namespace knee::program {

/// What lies at `address` in this process. The one place where a number becomes a pointer: loaders
/// and program headers speak in numbers.
template <class T>
const T* memory_at(std::uintptr_t address) {
  return reinterpret_cast<const T*>(address);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace knee::program
