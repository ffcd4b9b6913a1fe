#include "cli/tool.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <knee/error.h>

#include "cli/invocation.h"
#include "cli/verbs.h"
#include "client/config/help.h"

namespace knee::cli {
namespace {

int report(const std::exception& error) {
  std::cerr << "knee: " << error.what() << std::endl;
  const auto* failure = dynamic_cast<const Error*>(&error);
  const bool asked_wrongly = failure != nullptr && (failure->kind() == Error::Kind::setup ||
                                                    failure->kind() == Error::Kind::usage);
  return asked_wrongly ? kUsageError : kFailure;
}

int parse_error(const CLI::App& app, const CLI::ParseError& error) {
  // Help and version are "errors" with the code 0.
  return app.exit(error) == 0 ? 0 : kUsageError;
}

}  // namespace

int run_tool(int argc, char** argv) try {
  CLI::App app("Runs commands on your Knee slaves, and looks after them.", "knee");
  app.set_version_flag("--version", config::version_text());
  app.require_subcommand(1);
  app.footer("knee VERB --help tells more, with an example.");
  Words words(argc, argv);
  std::vector<Verb> verbs;
  for (const auto add : {add_slaves, add_run, add_bag, add_bench, add_doctor})
    verbs.push_back(add(app, words));
  auto options = words.options;
  std::reverse(options.begin(), options.end());  // as CLI11 wants them
  try {
    app.parse(options);
  } catch (const CLI::ParseError& error) {
    return parse_error(app, error);
  }
  for (const auto& verb : verbs)
    if (verb.app->parsed()) return verb.run();
  return kUsageError;
} catch (const std::exception& error) {
  return report(error);
}

}  // namespace knee::cli
