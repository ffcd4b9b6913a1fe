#pragma once
#include <cstdint>
#include <string>

namespace knee::driver {

/// "1 task waits", "12 tasks wait".
inline std::string counted(std::uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

}  // namespace knee::driver
