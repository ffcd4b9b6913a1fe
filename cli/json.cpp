#include "cli/json.h"

// Boost.JSON's code, compiled here: Debian's libboost-dev has no library of it.
#include <boost/json/src.hpp>

#include <string>
#include <string_view>

namespace knee::cli {
namespace {

/// Of the UTF-8 character at the beginning, in bytes; 0: there is none.
std::size_t character_length(std::string_view text) {
  const auto byte = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xc2 || first > 0xf4 ? 0
                             : first < 0xe0               ? 2
                             : first < 0xf0               ? 3
                                                          : 4;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  const unsigned second = byte(1);
  const bool longer_than_need_be =
      (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return longer_than_need_be || no_character ? 0 : length;
}

}  // namespace

void print_json(std::ostream& out, const boost::json::value& value) {
  // Boost passes the bytes of a string on as they are.
  const std::string text = boost::json::serialize(value);
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto length = character_length(rest);
    out << (length == 0 ? std::string_view("\xef\xbf\xbd") : rest.substr(0, length));
    rest.remove_prefix(length == 0 ? 1 : length);
  }
  out << '\n';
}

}  // namespace knee::cli
