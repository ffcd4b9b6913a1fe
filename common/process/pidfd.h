#pragma once

#include <sys/types.h>

#include "common/process/descriptor.h"

namespace knee::process {

/// A descriptor that names the process `pid` and becomes readable when that ends; close-on-exec.
/// Empty on kernels before 5.3 and where a sandbox forbids the call: callers need another way.
/// Throws std::system_error if there is no such process.
///
/// Only a parent that has not yet waited for `pid` can be sure that it still means its child.
Descriptor open_pidfd(pid_t pid);

/// Sends a signal to the very process the pidfd was opened for. False if it is gone.
/// Throws std::system_error if it may not be signalled.
bool send_signal(const Descriptor& pidfd, int signal);

}  // namespace knee::process
