#pragma once
#include <CLI/CLI.hpp>

#include "cli/invocation.h"

/// The verbs of the tool, a file each. `words` outlives the returned verb.
namespace knee::cli {

Verb add_slaves(CLI::App& app, const Words& words);
Verb add_run(CLI::App& app, const Words& words);
Verb add_bag(CLI::App& app, const Words& words);
Verb add_cp(CLI::App& app, const Words& words);
Verb add_ls(CLI::App& app, const Words& words);
Verb add_bench(CLI::App& app, const Words& words);
Verb add_python(CLI::App& app, const Words& words);
Verb add_doctor(CLI::App& app, const Words& words);

}  // namespace knee::cli
