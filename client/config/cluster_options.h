#pragma once
#include <knee/error.h>
#include <knee/options.h>

namespace knee::config {

/// The options of a driver from its command line, the environment and knee.toml. Takes its own
/// arguments out of argv; the others stay in order, argv[argc] is null, and `arguments` of the
/// result is what is left. For --knee-help and --knee-version prints a text and ends the process
/// with 0 (1 if it cannot be written). Throws Error (setup), and then argc and argv are as they
/// were. Reads the environment: call it before threads change that.
ClusterOptions cluster_options(int& argc, char** argv);

/// Prints "PROGRAM: text" to stderr and ends the process with 2.
[[noreturn]] void refuse(const Error& error);

}  // namespace knee::config
