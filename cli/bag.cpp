#include <knee/cluster.h>
#include <unistd.h>

#include <iostream>

#include "cli/bag_run.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

struct BagOptionsGiven {
  BagSettings settings;
  std::string file;
  std::string halt = "never";
};

std::string joined(const std::vector<std::string>& words) {
  std::string line;
  for (const auto& word : words) line += (line.empty() ? "" : " ") + word;
  return line;
}

Arguments arguments_of(const BagOptionsGiven& given, const Words& words) {
  if (!words.sources.empty() && !given.file.empty())
    throw Error(Error::Kind::usage, "arguments come from --file or from :::, not from both");
  if (!words.sources.empty()) return Arguments::from_sources(words.sources);
  if (given.file.empty() && ::isatty(STDIN_FILENO))
    std::cerr << "knee: reading arguments from the terminal; Ctrl-D ends them\n";
  return Arguments::from_lines(given.file.empty() ? "-" : given.file);
}

int run_bag(ClusterOptions options, BagOptionsGiven given, const Words& words,
            const std::vector<std::string>& command) {
  given.settings.line = joined(command);
  given.settings.environment = options.environment;
  given.settings.halt = HaltPolicy::parse(given.halt);
  auto arguments = arguments_of(given, words);
  options.commands_only = true;
  Cluster cluster(std::move(options));
  return BagRun(cluster, given.settings).run(std::move(arguments));
}

}  // namespace

Verb add_bag(CLI::App& app, const Words& words) {
  auto* verb = app.add_subcommand(
      "bag", "Runs a command line for each argument, on all slaves, as GNU parallel does.");
  verb->footer(
      "The command line is run by sh on a slave, in an empty folder. In it {} is the argument, {.} "
      "without "
      "extension, {/} its last part, {//} its folder, {/.} last part without extension, {#} the "
      "job's number, "
      "{2} the second argument; without any, the argument is added at the end. Without a command "
      "line each "
      "argument is one. Arguments come from ::: (several: all combinations), :::: FILE, --file or "
      "standard "
      "input. The exit code is the number of failed jobs, 101 if there are more than 100, 255 for "
      "other "
      "errors; after a --halt that of the job that caused it.\n\nExamples:\n"
      "  knee bag 'sim --seed {}' ::: 1 2 3\n"
      "  knee bag --in {} --out {.}.gz -- 'gzip -9 {}' ::: *.xyz\n"
      "  knee bag --joblog log --halt now,fail=1 -f lines.txt");
  verb->prefix_command();
  const auto given = std::make_shared<BagOptionsGiven>();
  verb->add_option("-f,--file,-a,--arg-file", given->file,
                   "A file with an argument on each line; - is standard input, the default.");
  verb->add_option("-j,--jobs", given->settings.jobs,
                   "Most jobs at once. Default: as many as the slaves have slots.");
  verb->add_option("--in", given->settings.inputs,
                   "A file to send along; {} and so on as in the command.")
      ->allow_extra_args(false);
  verb->add_option("--out", given->settings.outputs,
                   "A file or folder the job makes, to be fetched.")
      ->allow_extra_args(false);
  verb->add_option("--joblog", given->settings.job_log,
                   "Write a line about each job to this file.");
  verb->add_flag("-k,--keep-order", given->settings.keep_order,
                 "Show output in the order of the arguments. Default: as jobs end.");
  verb->add_option(
      "--halt", given->halt,
      "When to stop: never, now,fail=1 (kill what runs), soon,fail=1 (let it end), also "
      "success=N, done=N and N%. Default: never.");
  verb->add_option("--timeout", given->settings.timeout,
                   "Seconds a job may run. Default: no limit.")
      ->check(CLI::Range(0.001, 1e9));
  verb->add_option("--attempts", given->settings.attempts,
                   "Starts of a job in all, when slaves are lost while it runs. Default: 3.")
      ->check(CLI::Range(1, 255));
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, given, verb, &words] {
            return run_bag(slaves.cluster(), *given, words, command_of(*verb, words));
          }};
}

}  // namespace knee::cli
