#include "client/config/option_table.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "client/config/address_rules.h"
#include "client/config/hosts_file.h"
#include "client/config/value.h"

namespace knee::config {
namespace {

// An address given twice counts once: batch systems list a node once for each of its cores.
void add(std::vector<Draft::PlacedAddress>& list, rpc::Address address, const std::string& text,
         const std::string& place) {
  if (std::none_of(list.begin(), list.end(),
                   [&](const auto& one) { return one.address == address; }))
    list.push_back({std::move(address), text, place});
}

std::vector<std::string> addresses_of(const Setting& setting) {
  if (trimmed(setting.value) == "none") return {};
  std::vector<std::string> parts = split(setting.value, ',');
  if (std::find(parts.begin(), parts.end(), "") != parts.end())
    fail(setting.place,
         "'" + setting.value + "' has an empty address in it; to ask for none say 'none'");
  return parts;
}

std::string path_of(const Setting& setting, const Surroundings& around) {
  const std::string& path = setting.value;
  if (path.empty()) fail(setting.place, "the name of the file is missing");
  if (setting.folder.empty() || path.starts_with('/')) return path;
  if (path.starts_with("~/"))
    if (const auto home = around.variable("HOME"); home && !home->empty())
      return *home + path.substr(1);
  return std::filesystem::path(setting.folder) / path;
}

void apply_slaves(const Setting& setting, const Surroundings&, Draft& draft) {
  for (const std::string& text : addresses_of(setting))
    add(draft.dialed, parse_dialed(text, setting.place), text, setting.place);
}

std::vector<HostsLine> hosts_in(const std::string& path, const Setting& setting,
                                const Surroundings& around) {
  try {
    return parse_hosts(around.read(path));
  } catch (const std::system_error& error) {
    fail(setting.place, "cannot read '" + path + "': " + error.code().message() +
                            "; it should hold the address of a slave on each line");
  }
}

void apply_hosts(const Setting& setting, const Surroundings& around, Draft& draft) {
  const std::string path = path_of(setting, around);
  const auto hosts = hosts_in(path, setting, around);
  // Going on would run everything on this machine, which is not what was asked for.
  if (hosts.empty()) fail(setting.place, "'" + path + "' holds no address");
  for (const HostsLine& host : hosts) {
    const std::string place = path + ":" + std::to_string(host.line);
    add(draft.dialed, parse_dialed(host.address, place), host.address, place);
  }
}

void apply_listen(const Setting& setting, const Surroundings&, Draft& draft) {
  for (const std::string& text : addresses_of(setting))
    add(draft.listened, parse_listened(text, setting.place), text, setting.place);
}

void apply_local(const Setting& setting, const Surroundings&, Draft& draft) {
  draft.options.local = parse_switch(setting.value, setting.place);
}

void apply_slots(const Setting& setting, const Surroundings&, Draft& draft) {
  draft.options.slots = parse_slots(setting.value, setting.place);
}

void apply_insecure(const Setting& setting, const Surroundings&, Draft& draft) {
  draft.options.insecure = parse_switch(setting.value, setting.place);
}

void apply_ship(const Setting& setting, const Surroundings& around, Draft& draft) {
  draft.options.ship.push_back(path_of(setting, around));
}

void apply_env(const Setting& setting, const Surroundings&, Draft& draft) {
  check_environment_entry(setting.value, setting.place);
  draft.options.environment.push_back(setting.value);
}

void apply_progress(const Setting& setting, const Surroundings&, Draft& draft) {
  draft.options.progress = parse_switch(setting.value, setting.place);
}

void apply_cancel_grace(const Setting& setting, const Surroundings&, Draft& draft) {
  draft.options.cancel_grace = parse_duration(setting.value, setting.place);
}

void apply_heartbeat(const Setting& setting, const Surroundings&, Draft& draft) {
  draft.options.heartbeat = parse_heartbeat(setting.value, setting.place);
}

constexpr std::array<Option, 13> kOptions{{
    {"slaves", "LIST", Shape::addresses, "slaves",
     "Slaves to dial, separated by commas: HOST, HOST:PORT, [IPV6]:PORT or unix:PATH; 'none' for "
     "none. "
     "May be given several times. Default: none; with nothing to listen on either, a local slave.",
     " gandalf,frodo:18900,unix:$HOME/sam.sock", apply_slaves},
    {"hosts", "FILE", Shape::single, "slaves",
     "Slaves to dial from a file: an address per line, # begins a comment. They come beside those "
     "of "
     "--knee-slaves. Default: no file.",
     " ~/machines.txt", apply_hosts},
    {"listen", "ADDR", Shape::addresses, "listen",
     "Where slaves that dial (knee-slave --dial) may come: HOST:PORT, :PORT or unix:PATH; 'none' "
     "for "
     "nowhere. May be given several times. Default: nowhere.",
     " unix:$HOME/bilbo.sock", apply_listen},
    {"local", "", Shape::toggle, "local",
     "Start a slave on this machine beside the others. Default: only if there are no others.", "",
     apply_local},
    {"slots", "N", Shape::number, "slots",
     "How many tasks the local slave runs at once. Default: 0, the cores this process may use.",
     " 4", apply_slots},
    {"insecure", "", Shape::toggle, "insecure",
     "Allow TCP, over which anybody who reaches the port may run programs (SECURITY.md). Default: "
     "no, "
     "only Unix sockets.",
     "", apply_insecure},
    {"ship", "FILE", Shape::repeated, "ship",
     "A file that travels with the program besides its executable and shared libraries, such as a "
     "plugin "
     "it opens with dlopen. May be given several times. Default: none.",
     " ./libfilter.so", apply_ship},
    {"env", "NAME=VALUE", Shape::repeated, "env",
     "An environment variable for the workers, over the slave's own. May be given several times. "
     "Default: none.",
     " OMP_NUM_THREADS=1", apply_env},
    {"progress", "", Shape::toggle, "progress",
     "Show a progress line on stderr while a bag is waited for. Default: if stderr is a terminal.",
     "", apply_progress},
    {"cancel-grace", "DURATION", Shape::single, "cancel-grace",
     "How long a running task may take to notice that it is cancelled before it is killed; with a "
     "unit: "
     "ns, us, ms, s, min or h. Default: 1s.",
     " 500ms", apply_cancel_grace},
    {"heartbeat", "DURATION", Shape::single, "heartbeat",
     "How often a slave is asked whether it still answers, at least 100ms. After 3 such beats "
     "without an answer it is suspect, after 10 it is lost and its tasks run elsewhere. Default: "
     "2s.",
     " 500ms", apply_heartbeat},
    {"help", "", Shape::action, "help", "Print this and end.", "", nullptr},
    {"version", "", Shape::action, "version", "Print the version of the library and end.", "",
     nullptr},
}};

}  // namespace

std::span<const Option> option_table() {
  return kOptions;
}

const Option* find_option(std::string_view name) {
  const auto at = std::find_if(kOptions.begin(), kOptions.end(),
                               [&](const Option& option) { return option.name == name; });
  return at == kOptions.end() ? nullptr : &*at;
}

std::string option_text(const Option& option, std::string_view prefix) {
  constexpr std::string_view kWritten = "--knee-";
  std::string text(option.text);
  for (auto at = text.find(kWritten); at != text.npos; at = text.find(kWritten, at + prefix.size()))
    text.replace(at, kWritten.size(), prefix);
  return text;
}

std::string variable_name(const Option& option) {
  std::string name = "KNEE_";
  for (const char c : option.name)
    name += c == '-' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

}  // namespace knee::config
