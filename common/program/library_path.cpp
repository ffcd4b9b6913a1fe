#include "common/program/library_path.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>

namespace knee::program {
namespace {

constexpr const char* kVariable = "LD_LIBRARY_PATH";

// Its value is "+" and the original value, or "-" if there was none.
constexpr const char* kMark = "KNEE_LD_LIBRARY_PATH_ORIGINAL";

// Takes the variable out of the environment.
std::optional<std::string> take(std::vector<std::string>& environment, const std::string& name) {
  std::optional<std::string> value;
  std::erase_if(environment, [&](const std::string& entry) {
    if (!entry.starts_with(name + "=")) return false;
    if (!value) value = entry.substr(name.size() + 1);
    return true;
  });
  return value;
}

}  // namespace

void add_library_path(std::vector<std::string>& environment, const std::string& folder) {
  if (folder.empty()) return;
  take(environment, kMark);
  const auto original = take(environment, kVariable);
  const bool more = original && !original->empty();
  environment.push_back(std::string(kVariable) + "=" + folder + (more ? ":" + *original : ""));
  environment.push_back(std::string(kMark) + "=" + (original ? "+" + *original : "-"));
}

void restore_library_path() {
  const char* mark = std::getenv(kMark);
  if (!mark) return;
  if (mark[0] == '+')
    ::setenv(kVariable, mark + 1, 1);
  else
    ::unsetenv(kVariable);
  ::unsetenv(kMark);
}

}  // namespace knee::program
