#include "client/config/address_rules.h"

#include <stdexcept>

#include "client/config/value.h"

namespace knee::config {
namespace {

rpc::Address parse(std::string_view text, const std::string& place) {
  const std::string quoted = "'" + std::string(text) + "'";
  rpc::Address address;
  try {
    address = rpc::Address::parse(text);
  } catch (const std::invalid_argument& error) {
    fail(place, error.what());
  }
  // `gandalf frodo` would pass as one host with an odd name, and fail much later and elsewhere.
  if (address.kind == rpc::Address::Kind::tcp &&
      address.host.find_first_of(" \t\r\n") != address.host.npos)
    fail(place, quoted + " is not one address: separate addresses by commas, in a file by lines");
  return address;
}

}  // namespace

rpc::Address parse_dialed(std::string_view text, const std::string& place) {
  rpc::Address address = parse(text, place);
  if (address.kind == rpc::Address::Kind::unix_socket) return address;
  const std::string quoted = "'" + std::string(text) + "'";
  if (address.host.empty())
    fail(place,
         quoted + " names no host; a slave to dial is HOST, HOST:PORT, [IPV6]:PORT or unix:PATH");
  if (address.port == 0)
    fail(place, quoted + ": nobody can be reached at port 0; name the slave's port");
  return address;
}

rpc::Address parse_listened(std::string_view text, const std::string& place) {
  return parse(text, place);
}

void fail_tcp(const std::string& text, const std::string& place, const std::string& switches) {
  fail(place, "'" + text +
                  "' means TCP, and anybody who reaches a TCP port of Knee may run programs there "
                  "(on loopback: every user of the machine), so it must be allowed by " +
                  switches +
                  ". Safe without: a Unix socket, unix:PATH, which `ssh -N -L PATH:PATH_THERE "
                  "HOST` carries to "
                  "another machine. See SECURITY.md");
}

}  // namespace knee::config
