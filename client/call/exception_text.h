#pragma once
#include <string>

namespace knee::detail {

/// What a task or method threw, for people.
struct ExceptionText {
  std::string type;  ///< demangled
  std::string what;  ///< at most 32 KiB
};

/// In a catch block.
ExceptionText describe_current_exception();

}  // namespace knee::detail
