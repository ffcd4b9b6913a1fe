#pragma once
#include <string>
#include <string_view>

namespace knee::config {

/// What --knee-help prints: each option with what it does and an example, then the other places.
/// `settings` is the path of knee.toml; empty: unknown.
std::string help_text(std::string_view prefix, const std::string& settings);

/// "knee 1.2.3"
std::string version_text();

}  // namespace knee::config
