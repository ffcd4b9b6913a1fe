#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client/config/setting.h"

namespace knee::config {

/// What the command line says. A plain value.
struct Scan {
  enum class Show { nothing, help, version };
  std::vector<Setting> settings;  ///< in the order they were given
  std::vector<std::size_t> kept;  ///< indexes of the arguments that are not ours, in order
  Show show = Show::nothing;      ///< if asked for, the rest was not looked at
};

/// Finds the options that begin with the prefix ("--knee-"), up to `--`. The first argument is the
/// program's name. Values are not looked at. Throws knee::Error (setup) for an unknown option, a
/// value that is missing and a value too many.
Scan scan_arguments(std::span<const std::string> arguments, std::string_view prefix);

}  // namespace knee::config
