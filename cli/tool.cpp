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
  const std::string what = error.what();
  const bool needs_hint = what.starts_with("--") && what.find("--help") == std::string::npos;
  std::cerr << "knee: " << what << (needs_hint ? " (knee VERB --help explains the options)" : "")
            << std::endl;
  const auto* failure = dynamic_cast<const Error*>(&error);
  const bool asked_wrongly = failure != nullptr && (failure->kind() == Error::Kind::setup ||
                                                    failure->kind() == Error::Kind::usage);
  return asked_wrongly ? kUsageError : kFailure;
}

int parse_error(const CLI::App& app, const CLI::ParseError& error) {
  // Help and version are "errors" with the code 0.
  if (error.get_exit_code() == 0) return app.exit(error);
  std::cerr << "knee: " << error.what() << " (knee VERB --help explains the options)" << std::endl;
  return kUsageError;
}

/// What CLI11 would say of it does not help.
void require_verb(const std::vector<Verb>& verbs, const std::vector<std::string>& words) {
  const bool asks =
      !words.empty() && (words[0] == "--help" || words[0] == "-h" || words[0] == "--version");
  if (asks || std::any_of(verbs.begin(), verbs.end(), [&](const Verb& verb) {
        return !words.empty() && verb.app->get_name() == words[0];
      }))
    return;
  std::string text = words.empty() ? "what is to be done?" : "there is no verb '" + words[0] + "';";
  text += " knee VERB, where VERB is one of";
  for (const Verb& verb : verbs) text += " " + verb.app->get_name();
  throw Error(Error::Kind::usage, text + "; knee --help tells more");
}

}  // namespace

int run_tool(int argc, char** argv) try {
  CLI::App app("Runs commands on your Knee slaves, and looks after them.", "knee");
  app.set_version_flag("--version", config::version_text());
  app.require_subcommand(1);
  app.footer("knee VERB --help tells more, with an example.");
  Words words(argc, argv);
  std::vector<Verb> verbs;
  for (const auto add :
       {add_slaves, add_run, add_bag, add_cp, add_ls, add_python, add_bench, add_doctor})
    verbs.push_back(add(app, words));
  require_verb(verbs, words.options);
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
