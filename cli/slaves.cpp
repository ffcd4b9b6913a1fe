#include <knee/cluster.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include "cli/json.h"
#include "cli/table.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

void print_table(const std::vector<SlaveInfo>& slaves) {
  Table table({"NAME", "ADDRESS", "CORES", "SLOTS", "BUSY", "MEMORY", "FREE", "LOAD", "VERSION",
               "ROUND TRIP"});
  for (const auto& slave : slaves) {
    if (!slave.connected) {
      table.add({slave.name, slave.address, "-", "-", "-", "-", "-", "-", "-", "unreachable"});
      continue;
    }
    char load[32];
    std::snprintf(load, sizeof load, "%.2f", slave.load);
    table.add({slave.name, slave.address, std::to_string(slave.cores), std::to_string(slave.slots),
               std::to_string(slave.slots_busy), size_text(static_cast<double>(slave.memory_total)),
               size_text(static_cast<double>(slave.memory_available)), load, slave.version,
               time_text(seconds(slave.round_trip))});
  }
  table.print(std::cout);
  for (const auto& slave : slaves)
    if (!slave.connected) std::cout << slave.name << ": " << slave.error << '\n';
}

boost::json::object to_json(const SlaveInfo& slave) {
  boost::json::object object{
      {"name", slave.name}, {"address", slave.address}, {"connected", slave.connected}};
  if (!slave.connected) {
    object["error"] = slave.error;
    return object;
  }
  object["version"] = slave.version;
  object["architecture"] = slave.architecture;
  object["host"] = slave.host;
  object["system"] = slave.system;
  object["kernel"] = slave.kernel;
  object["cores"] = slave.cores;
  object["slots"] = slave.slots;
  object["slots_busy"] = slave.slots_busy;
  object["sessions"] = slave.sessions;
  object["memory_total"] = slave.memory_total;
  object["memory_available"] = slave.memory_available;
  object["load"] = slave.load;
  object["draining"] = slave.draining;
  object["up_time_s"] = seconds(slave.up_time);
  object["round_trip_s"] = seconds(slave.round_trip);
  return object;
}

int list_slaves(ClusterOptions options, bool json) {
  options.commands_only = true;
  const Cluster cluster(std::move(options));
  const auto slaves = cluster.describe();
  if (json) {
    boost::json::array list;
    for (const auto& slave : slaves) list.push_back(to_json(slave));
    print_json(std::cout, list);
  } else {
    print_table(slaves);
  }
  const bool all = std::all_of(slaves.begin(), slaves.end(),
                               [](const SlaveInfo& slave) { return slave.connected; });
  return all ? 0 : 1;
}

}  // namespace

Verb add_slaves(CLI::App& app, const Words&) {
  auto* verb =
      app.add_subcommand("slaves", "Lists the slaves: what they are, and which cannot be reached.");
  verb->footer(
      "The exit code is 1 if a slave cannot be reached.\n\nExample:\n"
      "  knee slaves --slaves gandalf,frodo --insecure");
  const auto json = std::make_shared<bool>(false);
  verb->add_flag("--json", *json, "Print a JSON array; sizes in bytes, times in seconds.");
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, json] { return list_slaves(slaves.cluster(), *json); }};
}

}  // namespace knee::cli
