#pragma once
#include <knee/command.h>

namespace knee::cli {

/// Writes the files a command sent back, below the current folder under their names, and says on
/// stderr which are missing. Throws std::system_error that names the file.
void save_outputs(const CommandResult& result);

}  // namespace knee::cli
