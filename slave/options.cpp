#include "options.h"

#include <CLI/CLI.hpp>

#include "slave/machine.h"

namespace knee::slave {
namespace {

constexpr int kUsageError = 2;
/// Less is a slip: a unit was forgotten.
constexpr std::uint64_t kSmallestStore = std::uint64_t{64} * 1024;

bool any_tcp(const std::vector<rpc::Address>& addresses) {
  return std::any_of(addresses.begin(), addresses.end(), [](const rpc::Address& address) {
    return address.kind == rpc::Address::Kind::tcp;
  });
}

std::vector<rpc::Address> parse_all(const std::vector<std::string>& texts) {
  std::vector<rpc::Address> addresses;
  for (const auto& text : texts) {
    try {
      addresses.push_back(rpc::Address::parse(text));
    } catch (const std::invalid_argument& error) {
      throw CLI::ValidationError(error.what());
    }
  }
  return addresses;
}

}  // namespace

ParsedOptions parse_options(int argc, char** argv) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  std::vector<std::string> listen;
  std::vector<std::string> dial;
  std::int64_t idle_exit = 0;
  std::int64_t lifetime = 0;

  CLI::App app{"Lends this machine's cores to Knee drivers.", "knee-slave"};
  app.footer(
      "Examples:\n"
      "  knee-slave                                  a private Unix socket, for this user only\n"
      "  knee-slave --listen :18812 --insecure       TCP, on a network where everybody is trusted\n"
      "  knee-slave --dial bilbo:18812 --insecure    from behind NAT, to a driver that listens");
  app.set_version_flag("--version", "knee-slave " KNEE_VERSION);
  app.add_option("--listen", listen, "Listen on HOST:PORT, :PORT or unix:PATH (repeatable)");
  app.add_option("--dial", dial, "Connect to a listening driver and stay connected (repeatable)");
  app.add_option("--name", options.name, "How drivers call this slave (default: the host's name)");
  app.add_option("--slots", options.slots,
                 "Tasks at once (default: the cores this process may use)")
      ->check(CLI::Range(1, 65535));
  app.add_option("--store", options.store,
                 "Folder that keeps programs and shared values "
                 "(default: $XDG_CACHE_HOME/knee/store, else ~/.cache/knee/store, else "
                 "/var/tmp/knee-UID)");
  app.add_option("--store-size", options.store_size,
                 "Its largest size, such as 500MB or 20GB (default: 10 GiB or a tenth of the disk)")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--idle-exit", idle_exit,
                 "End after so many seconds without a driver (default: never)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 32));
  app.add_option(
         "--lifetime", lifetime,
         "End after so many seconds: running tasks finish, waiting ones go back. Drivers are "
         "told, and give it no task they expect to last longer (default: never)")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 28));
  app.add_flag(
      "--insecure", options.insecure,
      "Allow TCP: whoever reaches the port, or is dialed, may run any program as this user");
  app.add_option("--inherited", options.inherited)->group("");
  try {
    app.parse(argc, argv);
    options.listen = parse_all(listen);
    options.dial = parse_all(dial);
    if (app.count("--store-size") != 0 && options.store_size < kSmallestStore)
      throw CLI::ValidationError("--store-size: " + std::to_string(options.store_size) +
                                 " bytes hold no program; write a unit, as in 500MB or 20GB");
    if ((any_tcp(options.listen) || any_tcp(options.dial)) && !options.insecure)
      throw CLI::ValidationError(
          "TCP is open to everybody who reaches it: whoever does may run programs as this user. "
          "Say --insecure if the network is isolated, or use the Unix socket through "
          "`ssh -L` (see SECURITY.md)");
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" with the code 0.
    parsed.exit = app.exit(error) == 0 ? 0 : kUsageError;
  }
  options.lifetime = std::chrono::seconds(lifetime);
  options.idle_exit = std::chrono::seconds(idle_exit);
  if (options.name.empty()) options.name = host_name();
  if (options.slots == 0) options.slots = usable_cores();
  return parsed;
}

}  // namespace knee::slave
