#pragma once

#include <string>
#include <vector>

namespace knee::program {

/// What this machine's processor can do, in the kernel's words ("avx2", "sse4_2"): sorted, each
/// once. Empty where the kernel does not tell. Any thread; reads /proc/cpuinfo.
std::vector<std::string> cpu_flags();

/// Those of `wanted` that are not in `present`. Both sorted, as cpu_flags() gives them.
std::vector<std::string> missing_cpu_flags(const std::vector<std::string>& wanted,
                                           const std::vector<std::string>& present);

}  // namespace knee::program
