#include "address.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <stdexcept>

namespace knee::rpc {
namespace {

[[noreturn]] void refuse(std::string_view text, const char* why) {
  throw std::invalid_argument("bad address '" + std::string(text) + "': " + why +
                              " (HOST, HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH)");
}

std::uint16_t parse_port(std::string_view digits, std::string_view whole) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    refuse(whole, "the port must be a number from 0 to 65535");
  return port;
}

}  // namespace

Address Address::parse(std::string_view text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.kind = Kind::unix_socket;
    address.path = text.substr(5);
    if (address.path.empty()) refuse(text, "the socket's path is missing");
    return address;
  }
  if (text.empty()) refuse(text, "it is empty");
  std::string_view rest;
  if (text.front() == '[') {
    const auto close = text.find(']');
    if (close == text.npos) refuse(text, "']' is missing");
    address.host = text.substr(1, close - 1);
    if (address.host.empty()) refuse(text, "nothing stands between the brackets");
    rest = text.substr(close + 1);
  } else {
    const auto colon = text.find(':');
    if (colon != text.npos && text.find(':', colon + 1) != text.npos)
      refuse(text, "an IPv6 address needs brackets");
    address.host = text.substr(0, colon);
    rest = colon == text.npos ? std::string_view() : text.substr(colon);
  }
  if (!rest.empty()) {
    if (rest.front() != ':') refuse(text, "':' is expected after ']'");
    address.port = parse_port(rest.substr(1), text);
  }
  return address;
}

std::string Address::text() const {
  if (kind == Kind::unix_socket) return "unix:" + path;
  const bool v6 = host.find(':') != host.npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string default_socket_path() {
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime && *runtime)
    return std::string(runtime) + "/knee/slave.sock";
  return "/tmp/knee-" + std::to_string(::getuid()) + "/slave.sock";
}

}  // namespace knee::rpc
