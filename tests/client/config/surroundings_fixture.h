#pragma once
#include <map>
#include <string>
#include <system_error>
#include <vector>

#include "client/config/resolve.h"
#include "client/config/scan.h"
#include "client/config/surroundings.h"

namespace knee::config {

/// Variables and files that exist in a test only.
struct FakeSurroundings {
  std::map<std::string, std::string> variables;
  std::map<std::string, std::string> files;
  std::string settings;
  std::string settings_path = "/home/sam/.config/knee/knee.toml";

  Surroundings make() const {
    Surroundings around;
    around.variable = [this](const std::string& name) -> std::optional<std::string> {
      const auto at = variables.find(name);
      return at == variables.end() ? std::nullopt : std::optional(at->second);
    };
    around.read = [this](const std::string& path) {
      const auto at = files.find(path);
      if (at == files.end()) throw std::system_error(ENOENT, std::generic_category(), path);
      return at->second;
    };
    if (!settings.empty()) around.settings = SettingsText{settings_path, settings};
    return around;
  }

  /// Of a program with these arguments after its name.
  ClusterOptions options(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), "prog");
    return resolve(scan_arguments(arguments, "--knee-").settings, make());
  }

  /// The text of the error that options() throws; empty if it does not.
  std::string error(const std::vector<std::string>& arguments = {}) const {
    try {
      options(arguments);
    } catch (const std::exception& failure) {
      return failure.what();
    }
    return {};
  }
};

}  // namespace knee::config
