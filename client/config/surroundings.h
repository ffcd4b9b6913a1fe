#pragma once
#include <functional>
#include <optional>
#include <string>

namespace knee::config {

/// The text of knee.toml and where it came from.
struct SettingsText {
  std::string path;
  std::string text;
};

/// All that options depend on besides the command line, so that tests need no process of their own.
struct Surroundings {
  /// An environment variable; nullopt: not set.
  std::function<std::optional<std::string>(const std::string& name)> variable;
  /// What a file holds. Throws std::system_error.
  std::function<std::string(const std::string& path)> read;
  /// nullopt: there is no such file.
  std::optional<SettingsText> settings;
  /// How options begin on the command line: "--knee-" in a driver, "--" in the knee tool.
  std::string prefix = "--knee-";
};

/// Those of this process. Throws knee::Error (setup) if knee.toml is there and cannot be read.
Surroundings process_surroundings();

/// Of this process; nullopt: not set.
std::optional<std::string> process_variable(const std::string& name);

/// $XDG_CONFIG_HOME/knee/knee.toml, without that variable ~/.config/knee/knee.toml; empty if HOME
/// is not set either. `variable` as in Surroundings.
std::string settings_path(
    const std::function<std::optional<std::string>(const std::string& name)>& variable);

/// What the file holds. Throws std::system_error whose code is the errno.
std::string read_whole(const std::string& path);

}  // namespace knee::config
