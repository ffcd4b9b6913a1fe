#include <knee/cluster.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <optional>
#include <variant>

#include "cli/input_thread.h"
#include "cli/outputs.h"
#include "cli/signals.h"
#include "cli/tool.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

using namespace std::chrono_literals;

struct RunOptions {
  std::string on;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::string folder;
  bool no_stdin = false;
};

/// A signal that has ended knee run itself.
struct Ended {
  int signal;
};

/// Passes signals on while it waits. The first one gives up if the command does not run yet, the
/// third one anyway.
std::variant<CommandResult, Ended> wait_for(Promise<CommandResult> promise,
                                            const TakenSignals& signals) {
  int taken = 0;
  int gave_up = 0;
  const auto start = std::chrono::steady_clock::now();
  while (!promise.ready()) {
    // How late its end is noticed: hardly, measured by how long it takes.
    const auto patience = std::clamp<std::chrono::nanoseconds>(
        (std::chrono::steady_clock::now() - start) / 50, 1ms, 50ms);
    const int number = signals.wait(patience);
    if (number == 0) continue;
    if (!promise.started() || ++taken >= 3) {
      gave_up = number;
      promise.cancel();
    } else {
      promise.signal(number);
    }
  }
  try {
    return promise.get();
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::cancelled || gave_up == 0) throw;
    return Ended{gave_up};
  }
}

int run_command(ClusterOptions options, const RunOptions& run, std::vector<std::string> words) {
  if (words.empty())
    throw Error(Error::Kind::usage,
                "which command? knee run [--on SLAVE] -- COMMAND [ARGUMENT...]");
  const TakenSignals signals;
  Command command;
  command.arguments = std::move(words);
  command.environment = options.environment;
  command.folder = run.folder;
  command.output = Command::Output::pass;
  for (const auto& input : run.inputs) command.inputs.push_back({input, ""});
  command.outputs = run.outputs;
  if (!run.no_stdin) command.live_input.emplace();
  const auto input = command.live_input;
  options.commands_only = true;
  // To be destroyed after the cluster, whose end lets it go if it waits for the command.
  std::optional<InputThread> reader;
  Cluster cluster(std::move(options));
  // Its output is seen at once, so that it must not be run a second time.
  const TaskOptions once{.attempts = 1};
  auto promise = run.on.empty() ? cluster.run(std::move(command), once)
                                : cluster.slave(run.on).run(std::move(command), once);
  if (input) reader.emplace(STDIN_FILENO, *input);
  const auto end = wait_for(std::move(promise), signals);
  if (const auto* ended = std::get_if<Ended>(&end)) return 128 + ended->signal;
  const auto& result = std::get<CommandResult>(end);
  try {
    save_outputs(result);
  } catch (const std::exception& error) {
    if (result.exit_code == 0) throw;
    std::cerr << "knee: " << error.what() << '\n';
  }
  return result.exit_code;
}

}  // namespace

Verb add_run(CLI::App& app, const Words& words) {
  auto* verb = app.add_subcommand("run", "Runs a command on a slave as if it ran here.");
  verb->footer(
      "Standard input, output and errors pass through as they come; signals such as Ctrl-C are "
      "passed on, and end knee run itself as long as the command does not run yet; the exit code "
      "is "
      "the command's, 255 if Knee could not run it or it has not made an output.\n\nExample:\n  "
      "knee run --on gandalf --in data.txt -- sort -n data.txt");
  verb->prefix_command();
  const auto run = std::make_shared<RunOptions>();
  verb->add_option("--on", run->on, "The slave, by name or address. Default: any.");
  verb->add_option("--in", run->inputs, "A file or folder to put into the working folder first.")
      ->allow_extra_args(false);
  verb->add_option("--out", run->outputs, "A file or folder to fetch from there afterwards.")
      ->allow_extra_args(false);
  verb->add_option("--folder", run->folder,
                   "Working folder on the slave. Default: one of its own, removed afterwards.");
  verb->add_flag("-n,--no-stdin", run->no_stdin,
                 "Do not read standard input, as for a job in the background.");
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, run, verb, &words] {
            return run_command(slaves.cluster(), *run, command_of(*verb, words));
          }};
}

}  // namespace knee::cli
