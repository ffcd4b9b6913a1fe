#include "cli/command_template.h"

#include <optional>
#include <string_view>

namespace knee::cli {
namespace {

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string without_extension(const std::string& path) {
  const auto dot = path.rfind('.');
  const auto slash = path.rfind('/');
  const auto begin = slash == path.npos ? 0 : slash + 1;
  return dot == path.npos || dot <= begin ? path : path.substr(0, dot);
}

/// What is between the braces, understood.
struct Place {
  std::optional<std::size_t> argument;  ///< counted from 1; none: all
  std::string_view form;                ///< "", ".", "/", "//", "/." or "#"
};

std::optional<Place> parse_place(std::string_view inside) {
  Place place;
  std::size_t digits = 0;
  std::size_t number = 0;
  while (digits < inside.size() && digits < 6 && inside[digits] >= '0' && inside[digits] <= '9')
    number = number * 10 + static_cast<std::size_t>(inside[digits++] - '0');
  if (digits != 0) place.argument = number;
  place.form = inside.substr(digits);
  for (const std::string_view known : {"", ".", "/", "//", "/."})
    if (place.form == known) return place;
  if (place.form == "#" && digits == 0) return place;
  return std::nullopt;
}

std::string formed(const std::string& argument, std::string_view form) {
  if (form == ".") return without_extension(argument);
  if (form == "/") return last_part(argument);
  if (form == "//") return folder_of(argument);
  if (form == "/.") return without_extension(last_part(argument));
  return argument;
}

/// Calls `text(piece)` and `place(place)` for what a template consists of, in order.
template <class Text, class OnPlace>
void walk(const std::string& text, Text on_text, OnPlace on_place) {
  std::size_t done = 0;
  while (done < text.size()) {
    const auto open = text.find('{', done);
    const auto close = open == text.npos ? text.npos : text.find('}', open);
    if (close == text.npos) break;
    const auto place = parse_place(std::string_view(text).substr(open + 1, close - open - 1));
    if (place) {
      on_text(text.substr(done, open - done));
      on_place(*place);
      done = close + 1;
    } else {
      on_text(text.substr(done, open + 1 - done));
      done = open + 1;
    }
  }
  on_text(text.substr(done));
}

}  // namespace

void CommandTemplate::want_argument() {
  bool found = false;
  walk(
      text_, [](const std::string&) {}, [&](const Place& place) { found |= place.form != "#"; });
  if (!found) text_ += " {}";
}

std::string CommandTemplate::expand(const std::vector<std::string>& arguments,
                                    std::uint64_t number) const {
  std::string line;
  const auto put = [&](const std::string& text) { line += quote_ ? shell_quoted(text) : text; };
  const auto on_place = [&](const Place& place) {
    if (place.form == "#") return void(line += std::to_string(number));
    if (place.argument) {
      if (*place.argument >= 1 && *place.argument <= arguments.size())
        put(formed(arguments[*place.argument - 1], place.form));
      return;
    }
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (i != 0) line += ' ';
      put(formed(arguments[i], place.form));
    }
  };
  walk(
      text_, [&](const std::string& text) { line += text; }, on_place);
  return line;
}

std::string shell_quoted(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!text.empty() && text.find_first_not_of(kPlain) == text.npos) return text;
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace knee::cli
