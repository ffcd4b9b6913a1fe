#pragma once
#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include "client/config/option_table.h"
#include "client/config/setting.h"

namespace knee::config {

/// Gives a CLI11 app the options of the table as --slaves, --local, --no-local ...; what is given
/// lands in `settings`, which goes to resolve() with the prefix "--". `settings` must outlive the
/// app. Errors in values come from resolve().
inline void add_cli11_options(CLI::App& app, std::vector<Setting>& settings) {
  for (const Option& option : option_table()) {
    if (option.shape == Shape::action) continue;
    const std::string name = "--" + std::string(option.name);
    const auto add = [&settings, &option, name](const std::string& value) {
      settings.push_back({&option, value, name, {}});
    };
    const std::string text = option_text(option, "--");
    if (option.shape == Shape::toggle) {
      app.add_flag_function(
          name + ",!--no-" + std::string(option.name),
          [add](std::int64_t count) { add(count > 0 ? "yes" : "no"); }, text);
      continue;
    }
    // One value per option, or `--slaves gandalf ./program` would take the program as a slave.
    app.add_option_function<std::vector<std::string>>(
           name,
           [add](const std::vector<std::string>& values) {
             for (const auto& v : values) add(v);
           },
           text)
        ->allow_extra_args(false)
        ->type_name(std::string(option.value));
  }
}

}  // namespace knee::config
