#pragma once
#include <knee/command.h>

namespace knee::cli {

/// Writes the files a command sent back, below the current folder under their names. Throws a
/// std::runtime_error that names the file if one cannot be written or, when all are, is missing.
void save_outputs(const CommandResult& result);

}  // namespace knee::cli
