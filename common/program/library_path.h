#pragma once

#include <string>
#include <vector>

namespace knee::program {

/// Adds to an environment ("NAME=value" entries) what a materialized program needs to find the
/// shipped libraries: LD_LIBRARY_PATH starts with `folder`, and a mark keeps the value it had. What
/// was there stays behind the folder, since the loader reads the variable once, and a node's own
/// libraries that are dlopened (a GPU driver's) must still be found. With an empty `folder` (a
/// static program) nothing changes.
void add_library_path(std::vector<std::string>& environment, const std::string& folder);

/// In the started program: gives LD_LIBRARY_PATH back the value it had before add_library_path(),
/// or removes it, and removes the mark, so that what user code starts (python, ssh) does not load
/// the shipped libraries. Does nothing in a process that was not started so. Call it before there
/// are other threads: it changes the environment.
void restore_library_path();

}  // namespace knee::program
