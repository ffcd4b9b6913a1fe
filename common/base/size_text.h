#pragma once

#include <cstdint>
#include <string>

namespace knee {

/// A number of bytes for people: "512 bytes", "1.5 MB", "10.0 GB" (powers of 1000).
std::string size_text(std::uint64_t bytes);

}  // namespace knee
