#pragma once

#include <string>
#include <vector>

namespace knee::test {

/// The first argument of this program when it is to be `run_on_an_old_kernel`.
inline constexpr const char* kOnAnOldKernel = "--on-an-old-kernel";

/// A command that runs the one after it, and all that is started by it, as on Linux 4.18: without
/// pidfd_open, pidfd_send_signal and close_range. See SlaveProcess::Setup::around.
std::vector<std::string> on_an_old_kernel();

/// Becomes the command in `arguments`. Returns an exit code if that cannot be done, having said why
/// on stderr.
int run_on_an_old_kernel(char** arguments);

}  // namespace knee::test
