#include "client/config/hosts_file.h"

#include "client/config/value.h"

namespace knee::config {
namespace {

// A `#` inside a word stays: the path of a socket may have one.
std::string_view without_comment(std::string_view line) {
  for (std::size_t at = line.find('#'); at != line.npos; at = line.find('#', at + 1))
    if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t') return line.substr(0, at);
  return line;
}

}  // namespace

std::vector<HostsLine> parse_hosts(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<HostsLine> hosts;
  int number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    const std::string_view address = trimmed(without_comment(line));
    if (!address.empty()) hosts.push_back({std::string(address), number});
  }
  return hosts;
}

}  // namespace knee::config
