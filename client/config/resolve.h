#pragma once
#include <span>

#include <knee/options.h>

#include "client/config/setting.h"
#include "client/config/surroundings.h"

namespace knee::config {

/// The options of a cluster from what the command line says, the environment and knee.toml, the
/// stronger first. What a stronger place says about an option replaces what weaker ones say, lists
/// as a whole; `slaves` and `hosts` count as one. `arguments` stays empty. A variable that is empty
/// counts as not set. Throws knee::Error (setup): what is wrong, in which place, and what to do.
ClusterOptions resolve(std::span<const Setting> command_line, const Surroundings& around);

/// For options that a program filled in itself: addresses, TCP without `insecure`, environment
/// entries, cancel_grace, heartbeat. Throws knee::Error (setup) that names the field.
void check(const ClusterOptions& options);

/// That the files which are to travel with the program can be read. Throws knee::Error (setup) that
/// names the first which cannot.
void check_shipped(const ClusterOptions& options);

/// Whether these options use TCP, so that a warning is due. The options have passed check() or
/// resolve().
bool uses_tcp(const ClusterOptions& options);

}  // namespace knee::config
