#include "cli/invocation.h"

#include <string_view>

#include <knee/error.h>

#include "client/config/cli11_options.h"
#include "client/config/resolve.h"
#include "client/config/surroundings.h"

namespace knee::cli {

Words::Words(int argc, char** argv) {
  const bool takes_sources = argc > 1 && std::string_view(argv[1]) == "bag";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (takes_sources && (word == ":::" || word == "::::"))
      sources.push_back({word == "::::", {}});
    else if (!sources.empty())
      sources.back().words.push_back(word);
    else if (has_command)
      command.push_back(word);
    else if (word == "--")
      has_command = true;
    else
      options.push_back(word);
  }
}

SlaveOptions::SlaveOptions(CLI::App& app)
    : settings_(std::make_shared<std::vector<config::Setting>>()) {
  config::add_cli11_options(app, *settings_);
}

ClusterOptions SlaveOptions::cluster() const {
  auto around = config::process_surroundings();
  around.prefix = "--";
  return config::resolve(*settings_, around);
}

std::vector<std::string> command_of(const CLI::App& app, const Words& words) {
  auto command = app.remaining();
  if (!words.has_command) {
    if (!command.empty() && command[0].starts_with("-"))
      throw Error(Error::Kind::usage, "there is no option '" + command[0] + "' (knee " +
                                          app.get_name() +
                                          " --help lists them; a command follows after --)");
    return command;
  }
  if (!command.empty())
    throw Error(Error::Kind::usage,
                "'" + command[0] + "' before -- is no option of knee " + app.get_name());
  return words.command;
}

}  // namespace knee::cli
