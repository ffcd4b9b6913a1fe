#include <knee/error.h>

#include <cstdint>
#include <string>

#include "client/config/settings_file.h"

/// A knee.toml of any content.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    (void)knee::config::parse_settings(
        {"knee.toml", std::string(reinterpret_cast<const char*>(data), size)});
  } catch (const knee::Error&) {
  }
  return 0;
}
