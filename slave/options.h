#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/rpc/address.h"

namespace knee::slave {

/// What knee-slave was told on its command line. A plain value.
struct Options {
  std::vector<rpc::Address> listen;  ///< empty and nothing dialed: the default Unix socket
  std::vector<rpc::Address> dial;
  std::string name;                   ///< default: the host's name
  std::uint32_t slots = 0;            ///< 0: usable_cores()
  std::string store;                  ///< folder; empty: default_store_folder
  std::uint64_t store_size = 0;       ///< bytes; 0: default_store_size
  std::chrono::seconds idle_exit{0};  ///< ends after so long without a session; 0: never
  std::chrono::seconds lifetime{0};   ///< drains after so long, and says so before; 0: no end
  bool insecure = false;              ///< TCP, where whoever reaches the port may run programs
  int inherited = -1;                 ///< a connected socket of the driver that started this slave
};

/// Reads the command line. Prints help or an error and gives the exit code to end with (0 or 2),
/// or the options.
struct ParsedOptions {
  Options options;
  std::optional<int> exit;
};
ParsedOptions parse_options(int argc, char** argv);

}  // namespace knee::slave
