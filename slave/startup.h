#pragma once
#include <cstdint>

namespace knee::slave {

/// What the process needs before anything else: the signals the daemon waits for (KJ wants them
/// named before threads exist), as many descriptors as it may have, and host names by /etc/hosts
/// and DNS alone. Returns the soft limit of descriptors that users' programs should have: the one
/// this process began with, for the sake of those that use select() or close every number.
std::uint64_t prepare_process();

}  // namespace knee::slave
