#include "client/config/resolve.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "client/config/address_rules.h"
#include "client/config/option_table.h"
#include "client/config/settings_file.h"
#include "client/config/value.h"

namespace knee::config {
namespace {

void add_variable(const Option& option, const Surroundings& around,
                  std::vector<Setting>& settings) {
  const std::string name = variable_name(option);
  const auto value = around.variable(name);
  if (!value || value->empty()) return;
  if (option.shape != Shape::repeated) {
    settings.push_back({&option, *value, name, {}});
    return;
  }
  for (const std::string& line : split(*value, '\n'))
    if (!line.empty()) settings.push_back({&option, line, name, {}});
}

std::vector<Setting> settings_of_environment(const Surroundings& around) {
  std::vector<Setting> settings;
  for (const Option& option : option_table())
    if (option.shape != Shape::action) add_variable(option, around, settings);
  return settings;
}

// Takes from one place what no stronger place has spoken about, and notes what this one has.
class Strongest {
 public:
  void add(std::span<const Setting> place) {
    std::set<std::string_view> named;
    for (const Setting& setting : place) {
      const std::string_view group = setting.option->group;
      named.insert(group);
      if (!decided_.contains(group)) settings_.push_back(setting);
    }
    decided_.merge(named);
  }
  const std::vector<Setting>& settings() const { return settings_; }

 private:
  std::set<std::string_view> decided_;
  std::vector<Setting> settings_;
};

// An option that counts once: only the last is looked at.
bool repeated_later(const Setting& setting, std::span<const Setting> rest) {
  return setting.option->shape != Shape::addresses && setting.option->shape != Shape::repeated &&
         std::any_of(rest.begin(), rest.end(),
                     [&](const Setting& later) { return later.option == setting.option; });
}

void require_unix(const std::vector<Draft::PlacedAddress>& list, const std::string& switches) {
  for (const auto& one : list)
    if (one.address.kind == rpc::Address::Kind::tcp) fail_tcp(one.text, one.place, switches);
}

void require_unix(const Draft& draft, const std::string& switches) {
  if (draft.options.insecure) return;
  require_unix(draft.dialed, switches);
  require_unix(draft.listened, switches);
}

std::vector<std::string> texts(const std::vector<Draft::PlacedAddress>& list) {
  std::vector<std::string> result;
  result.reserve(list.size());
  for (const auto& one : list) result.push_back(one.text);
  return result;
}

bool any_tcp(const std::vector<std::string>& addresses) {
  return std::any_of(addresses.begin(), addresses.end(), [](const std::string& text) {
    return rpc::Address::parse(text).kind == rpc::Address::Kind::tcp;
  });
}

}  // namespace

ClusterOptions resolve(std::span<const Setting> command_line, const Surroundings& around) {
  Strongest strongest;
  strongest.add(command_line);
  strongest.add(settings_of_environment(around));
  if (around.settings) strongest.add(parse_settings(*around.settings));

  Draft draft;
  const std::span<const Setting> settings = strongest.settings();
  for (std::size_t i = 0; i < settings.size(); ++i)
    if (!repeated_later(settings[i], settings.subspan(i + 1)))
      settings[i].option->apply(settings[i], around, draft);
  require_unix(draft,
               around.prefix + "insecure (or KNEE_INSECURE=yes, or insecure = true in knee.toml)");
  draft.options.slaves = texts(draft.dialed);
  draft.options.listen = texts(draft.listened);
  return std::move(draft.options);
}

void check(const ClusterOptions& options) {
  Draft draft;
  draft.options.insecure = options.insecure;
  for (const std::string& text : options.slaves)
    draft.dialed.push_back(
        {parse_dialed(text, "ClusterOptions::slaves"), text, "ClusterOptions::slaves"});
  for (const std::string& text : options.listen)
    draft.listened.push_back(
        {parse_listened(text, "ClusterOptions::listen"), text, "ClusterOptions::listen"});
  require_unix(draft, "ClusterOptions::insecure = true");
  for (const std::string& entry : options.environment)
    check_environment_entry(entry, "ClusterOptions::environment");
  if (options.slots > kMostSlots)
    fail("ClusterOptions::slots",
         std::to_string(options.slots) + " are too many; at most " + std::to_string(kMostSlots));
  if (options.cancel_grace.count() < 0)
    fail("ClusterOptions::cancel_grace", "a duration below zero; 0 kills at once");
  check_heartbeat(options.heartbeat, "ClusterOptions::heartbeat");
}

void check_shipped(const ClusterOptions& options) {
  for (const std::string& path : options.ship) {
    std::error_code failure;
    const bool regular = std::filesystem::is_regular_file(path, failure);
    std::string why;
    if (failure || ::access(path.c_str(), R_OK) != 0)
      why = failure ? failure.message() : std::generic_category().message(errno);
    else if (!regular)
      why = "it is not a regular file";
    if (!why.empty())
      fail("cannot ship '" + path + "'",
           why +
               " (--knee-ship, KNEE_SHIP, ship in knee.toml or ClusterOptions::ship names files "
               "that travel with the program)");
  }
}

bool uses_tcp(const ClusterOptions& options) {
  return any_tcp(options.slaves) || any_tcp(options.listen);
}

}  // namespace knee::config
