#pragma once
#include <string>

namespace knee::cli {

/// A file's name for a terminal: control characters, which could do anything there, are '?'.
std::string printable(std::string name);

}  // namespace knee::cli
