#pragma once
#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <knee/options.h>

#include "client/config/setting.h"

namespace knee::cli {

/// The command line in its parts: what the tool's parser sees, and what it must not touch.
struct Words {
  Words(int argc, char** argv);

  std::vector<std::string> options;  ///< up to the first "--" or source, without the tool's name
  bool has_command = false;          ///< there was a "--"
  std::vector<std::string> command;  ///< after "--", up to the first source
  struct Source {
    bool is_file = false;  ///< "::::": the words name files that hold the arguments
    std::vector<std::string> words;
  };
  std::vector<Source> sources;  ///< one for each ":::" and "::::" of knee bag
};

/// A verb that may be run once the command line was parsed.
struct Verb {
  CLI::App* app;
  std::function<int()> run;  ///< gives the exit code
};

/// Options of a verb that say which slaves are used: those of a driver, without "knee-".
class SlaveOptions {
 public:
  explicit SlaveOptions(CLI::App& app);

  /// After parsing: together with the environment and knee.toml. Throws Error::setup.
  ClusterOptions cluster() const;

 private:
  std::shared_ptr<std::vector<config::Setting>> settings_;  ///< the app's callbacks fill it
};

/// The command of a verb that takes one: what stands after "--", or else what no option could use.
std::vector<std::string> command_of(const CLI::App& app, const Words& words);

}  // namespace knee::cli
