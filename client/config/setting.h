#pragma once
#include <string>

namespace knee::config {

struct Option;

/// One value that one place gives to one option. A plain value.
struct Setting {
  const Option* option;  ///< a row of the table; never null
  std::string value;     ///< as it was written; a switch has "yes" or "no" when nothing was written
  std::string place;     ///< what errors call it: "--knee-slots", "KNEE_SLOTS", "FILE:LINE: slots"
  /// Where relative paths in the value start, and then "~/" means the home folder (no shell has
  /// seen the value). Empty: the current folder.
  std::string folder;
};

}  // namespace knee::config
