#pragma once
#include <vector>

#include "client/config/setting.h"
#include "client/config/surroundings.h"

namespace knee::config {

/// What knee.toml says: a key per option, by the option's name. Values of the right type, not
/// looked at further. Throws knee::Error (setup) naming file and line for bad TOML, an unknown key
/// and a wrong type.
std::vector<Setting> parse_settings(const SettingsText& file);

}  // namespace knee::config
