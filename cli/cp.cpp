#include <knee/cluster.h>
#include <knee/files.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <iostream>
#include <map>
#include <optional>

#include "cli/copy_line.h"
#include "cli/place.h"
#include "cli/signals.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

using namespace std::chrono_literals;

/// Something was left out, as cp has it.
constexpr int kIncomplete = 1;

struct CpOptions {
  bool recursive = false;
  bool quiet = false;
  bool sync = false;
  std::vector<std::string> places;
};

/// The files of each machine that is named.
class Machines {
 public:
  explicit Machines(Cluster& cluster) : cluster_(cluster) {}
  const Files& of(const Place& place) {
    const auto known = files_.find(place.slave);
    if (known != files_.end()) return known->second;
    auto files = place.slave.empty() ? Files::here() : cluster_.slave(place.slave).files();
    return files_.emplace(place.slave, std::move(files)).first->second;
  }

 private:
  Cluster& cluster_;
  std::map<std::string, Files> files_;
};

void require_slave(const std::vector<Place>& places) {
  for (const auto& place : places)
    if (!place.slave.empty()) return;
  throw Error(Error::Kind::usage,
              "both are of this machine: a file on a slave is named SLAVE:PATH (cp copies here)");
}

/// Several files can only go into a folder.
void require_folder(const Files& files, const Place& target) {
  const auto status = files.status(target.path);
  if (!status || status->type != FileStatus::Type::folder)
    throw Error(Error::Kind::usage, "there is no folder '" + target.path +
                                        "' into which several files could be copied");
}

int copy_all(Machines& machines, const std::vector<Place>& sources, const Place& target,
             const CopyOptions& options) {
  const auto& to = machines.of(target);
  if (sources.size() > 1) require_folder(to, target);
  int code = 0;
  for (const auto& source : sources) {
    const auto report = machines.of(source).copy(source.path, to, target.path, options);
    for (const auto& path : report.left_out) {
      std::cerr << "knee: left out '" + path + "', which is neither a file nor a folder\n";
      code = kIncomplete;
    }
  }
  return code;
}

int cp(ClusterOptions options, const CpOptions& given) {
  if (given.places.size() < 2)
    throw Error(Error::Kind::usage, "from where to where? knee cp [-r] SOURCE... TARGET");
  std::vector<Place> sources;
  for (const auto& text : given.places) sources.push_back(parse_place(text, options.slaves));
  require_slave(sources);
  const Place target = sources.back();
  sources.pop_back();
  const TakenSignals signals;
  std::optional<CopyLine> line;
  CopyOptions how{.recursive = given.recursive, .sync = given.sync};
  if (!given.quiet && ::isatty(STDERR_FILENO) == 1) {
    line.emplace(std::cerr);
    how.progress = [&line](const CopyProgress& progress) { line->show(progress); };
  }
  Cluster cluster(std::move(options));
  Machines machines(cluster);
  auto copy =
      std::async(std::launch::async, [&] { return copy_all(machines, sources, target, how); });
  while (copy.wait_for(0s) != std::future_status::ready) {
    const int number = signals.wait(20ms);
    if (number == 0) continue;
    // At once, however the connection is; the parts stay as after any other interruption.
    std::cerr << "\nknee: stopped. What has come of a file stays beside its target, as "
                 ".NAME.knee-part, and the same command goes on from there."
              << std::endl;
    ::_exit(128 + number);
  }
  return copy.get();
}

}  // namespace

Verb add_cp(CLI::App& app, const Words& words) {
  auto* verb = app.add_subcommand(
      "cp", "Copies files to a slave, from one, or between two; goes on where it was interrupted.");
  verb->footer(
      "A file on a slave is SLAVE:PATH, and a relative PATH begins in the home folder there; what "
      "has no colon before its first slash is here. If TARGET is a folder, copies go into it. The "
      "exit code is 1 if devices, pipes or sockets were left out.\n\nExamples:\n"
      "  knee cp data.h5 gandalf:data/\n"
      "  knee cp -r gandalf:results .");
  const auto given = std::make_shared<CpOptions>();
  verb->add_option("PLACES", given->places, "One or several SOURCE, then TARGET.");
  verb->add_flag("-r,--recursive", given->recursive, "Copy folders with all that is in them.");
  verb->add_flag("-q,--quiet", given->quiet, "Show no progress. Default: it is, on a terminal.");
  verb->add_flag("--sync", given->sync, "Wait until it is on the target's disk.");
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, given, &words] {
            // After "--": what begins with a dash.
            given->places.insert(given->places.end(), words.command.begin(), words.command.end());
            return cp(slaves.cluster(), *given);
          }};
}

}  // namespace knee::cli
