#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace knee::config {

/// A line of a hosts file. A plain value.
struct HostsLine {
  std::string address;  ///< not checked
  int line;             ///< from 1
};

/// The addresses in the text of a hosts file: one per line, `#` at the start of a line or after a
/// space begins a comment, blank lines count for nothing.
std::vector<HostsLine> parse_hosts(std::string_view text);

}  // namespace knee::config
