#pragma once

#include <string>
#include <string_view>

namespace knee::program {

/// What follows the last slash of `path`.
inline std::string base_name(std::string_view path) {
  return std::string(path.substr(path.rfind('/') + 1));
}

/// Whether `name` can be the name of one file in a folder, and nothing outside it.
inline bool is_file_name(std::string_view name) {
  static constexpr std::size_t kLongest = 255;  // NAME_MAX
  static constexpr std::string_view kForbidden("/\0", 2);
  return !name.empty() && name.size() <= kLongest && name != "." && name != ".." &&
         name.find_first_of(kForbidden) == std::string_view::npos;
}

}  // namespace knee::program
