#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace knee {

/// What a slave says of itself and its machine. A plain value.
struct SlaveInfo {
  std::string
      name;  ///< as the slave calls itself; of one that was never reached: as it was asked for
  std::string address;  ///< where it is dialed, or in words how it came
  bool connected = false;
  std::string error;  ///< why not; all that follows is empty then
  std::string version;
  std::string architecture;  ///< as `uname -m`
  std::string host;
  std::string system;  ///< "Debian GNU/Linux 12 (bookworm)"; empty: not known
  std::string kernel;  ///< "Linux 6.1.0-18-amd64"
  unsigned cores = 0;  ///< that it may use; 0: it does not say
  unsigned slots = 0;
  unsigned slots_busy = 0;
  unsigned sessions = 0;               ///< drivers that use it now
  std::uint64_t memory_total = 0;      ///< bytes, of the machine or of the part it may use
  std::uint64_t memory_available = 0;  ///< bytes
  double load = 0;                     ///< average of the last minute
  bool draining = false;               ///< it takes no new tasks
  std::chrono::nanoseconds up_time{0};
  std::chrono::nanoseconds round_trip{0};  ///< the shortest of a few
};

}  // namespace knee
