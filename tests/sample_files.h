#pragma once
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>

namespace knee::test {

/// Makes it the whole content of the file.
inline void put(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

/// Bytes of which no part is like another, always the same.
inline std::string noise(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint64_t state = 88172645463325252U;
  for (char& byte : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    byte = static_cast<char>(state);
  }
  return bytes;
}

}  // namespace knee::test
