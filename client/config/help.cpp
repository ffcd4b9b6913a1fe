#include "client/config/help.h"

#include <algorithm>

#include "client/config/option_table.h"

namespace knee::config {
namespace {

constexpr std::size_t kWidth = 80;

// Breaks the text at spaces, each line indented.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string result;
  const std::size_t room = kWidth - indent;
  while (!text.empty()) {
    std::size_t end = text.size();
    if (end > room) {
      const auto space = text.rfind(' ', room);
      end = space == text.npos ? std::min(text.find(' '), text.size()) : space;
    }
    result += std::string(indent, ' ') + std::string(text.substr(0, end)) + "\n";
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

std::string heading(const Option& option, const std::string& prefix) {
  const std::string name = prefix + std::string(option.name);
  if (option.shape == Shape::toggle) return name + ", " + prefix + "no-" + std::string(option.name);
  return option.value.empty() ? name : name + " " + std::string(option.value);
}

}  // namespace

std::string help_text(std::string_view prefix_view, const std::string& settings) {
  const std::string prefix(prefix_view);
  std::string text = "Where the program finds the machines that run its tasks:\n";
  for (const Option& option : option_table()) {
    text += "\n  " + heading(option, prefix) + "\n";
    text += wrapped(option_text(option, prefix), 6);
    text +=
        "      Example: " + prefix + std::string(option.name) + std::string(option.example) + "\n";
  }
  text +=
      "\n" +
      wrapped(
          "A value follows after a space or '='. The program itself does not see these options; "
          "those after -- are its own. Each can also be set as a variable, such as "
          "KNEE_SLAVES or KNEE_CANCEL_GRACE, and as a key, such as slaves or cancel-grace, in " +
              (settings.empty() ? "~/.config/knee/knee.toml" : settings) +
              ". The command line comes before the variables, they before the file.",
          0);
  return text;
}

std::string version_text() {
  return "knee " KNEE_VERSION;
}

}  // namespace knee::config
