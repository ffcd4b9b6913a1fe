#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace knee::program {

/// Where a function is, in terms that hold in every process of the same program: address space
/// randomisation, stripping and static linking do not change it. Different functions may have the
/// same address when the linker folds identical code.
struct FunctionAddress {
  std::string module;        ///< LoadedModule::name: "" is the executable
  std::uint64_t offset = 0;  ///< bytes from the load bias

  friend bool operator==(const FunctionAddress&, const FunctionAddress&) = default;
  friend std::strong_ordering operator<=>(const FunctionAddress&, const FunctionAddress&) = default;
};

/// Where `function` (code, or data that belongs to a file of the program) is. Any thread. Walks the
/// list of loaded files: keep the answer. Throws std::runtime_error if the address belongs to no
/// file that travels with the program (generated code, the heap, LD_PRELOAD), or to a file whose
/// name another loaded file has as well.
FunctionAddress locate(const void* function);

/// The function at `address` in this process. Any thread. Throws std::runtime_error if no such file
/// is loaded or the offset is not inside its code.
const void* resolve(const FunctionAddress& address);

}  // namespace knee::program
