#include "cli/place.h"

#include <algorithm>
#include <cctype>

namespace knee::cli {
namespace {

/// Length of the address at the beginning, with a colon behind it; 0: there is none.
std::size_t known_address(const std::string& text, const std::vector<std::string>& addresses) {
  std::size_t longest = 0;
  for (const auto& address : addresses)
    if (text.starts_with(address + ":")) longest = std::max(longest, address.size());
  return longest;
}

/// The same for "[ADDRESS]" and "[ADDRESS]:PORT".
std::size_t address_in_brackets(const std::string& text) {
  const auto close = text.find("]:");
  if (!text.starts_with('[') || close == text.npos) return 0;
  const auto digits = close + 2;
  auto end = digits;
  while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end]))) ++end;
  return end > digits && end < text.size() && text[end] == ':' ? end : close + 1;
}

}  // namespace

Place parse_place(const std::string& text, const std::vector<std::string>& addresses) {
  auto length = known_address(text, addresses);
  if (length == 0) length = address_in_brackets(text);
  if (length == 0) {
    const auto end = text.find_first_of(":/");
    if (end != text.npos && text[end] == ':') length = end;
  }
  if (length == 0) return {"", text};
  return {text.substr(0, length), text.substr(length + 1)};
}

}  // namespace knee::cli
