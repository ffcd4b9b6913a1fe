#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace knee::slave {

/// Something the store did that a log should tell about.
struct StoreReport {
  bool warning = false;
  std::string text;
};

/// What an eviction removed.
struct Evicted {
  std::size_t entries = 0;
  std::uint64_t bytes = 0;
};

}  // namespace knee::slave
