#include "client/config/hosts_file.h"

#include <catch2/catch.hpp>

namespace knee::config {
namespace {

std::string text(const std::vector<HostsLine>& hosts) {
  std::string result;
  for (const HostsLine& host : hosts)
    result += std::to_string(host.line) + ":" + host.address + ";";
  return result;
}

TEST_CASE("a hosts file holds an address per line, comments and blank lines") {
  CHECK(text(parse_hosts("# lab\n\n gandalf \nfrodo:5 # slow\n  # none\n\tsam")) ==
        "3:gandalf;4:frodo:5;6:sam;");
}

TEST_CASE("a hosts file may come from Windows") {
  CHECK(text(parse_hosts("\xef\xbb\xbfgandalf\r\nfrodo\r\n")) == "1:gandalf;2:frodo;");
}

TEST_CASE("a number sign inside an address is part of it") {
  CHECK(text(parse_hosts("unix:/tmp/a#b #c")) == "1:unix:/tmp/a#b;");
}

TEST_CASE("an empty hosts file holds nothing") {
  CHECK(parse_hosts("").empty());
  CHECK(parse_hosts("\n# x\n").empty());
}

}  // namespace
}  // namespace knee::config
