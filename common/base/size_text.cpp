#include "common/base/size_text.h"

#include <cstdio>

namespace knee {

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1000) return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
  const char* unit = "kMGTPE";
  double value = static_cast<double>(bytes) / 1000;
  while (value >= 999.95) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %cB", value, *unit);
  return text;
}

}  // namespace knee
