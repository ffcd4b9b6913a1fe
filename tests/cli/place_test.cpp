#include "cli/place.h"

#include <catch2/catch.hpp>

using knee::cli::parse_place;
using knee::cli::Place;

TEST_CASE("what stands before the first colon is a slave") {
  CHECK(parse_place("gandalf:data/x", {}) == Place{"gandalf", "data/x"});
  CHECK(parse_place("gandalf:/data/x:y", {}) == Place{"gandalf", "/data/x:y"});
  CHECK(parse_place("gandalf:", {}) == Place{"gandalf", ""});
}

TEST_CASE("what has no colon before its first slash is here") {
  CHECK(parse_place("data/x", {}) == Place{"", "data/x"});
  CHECK(parse_place("x", {}) == Place{"", "x"});
  CHECK(parse_place("./a:b", {}) == Place{"", "./a:b"});
  CHECK(parse_place("/a:b", {}) == Place{"", "/a:b"});
  CHECK(parse_place(":x", {}) == Place{"", ":x"});
  CHECK(parse_place("", {}) == Place{"", ""});
}

TEST_CASE("an address with a port or a path is whole if it is one of the slaves'") {
  const std::vector<std::string> slaves{"frodo", "frodo:1234", "10.0.0.1:18812",
                                        "unix:/tmp/knee.sock"};
  CHECK(parse_place("frodo:x", slaves) == Place{"frodo", "x"});
  CHECK(parse_place("frodo:1234:x", slaves) == Place{"frodo:1234", "x"});
  CHECK(parse_place("10.0.0.1:18812:/x", slaves) == Place{"10.0.0.1:18812", "/x"});
  CHECK(parse_place("unix:/tmp/knee.sock:x", slaves) == Place{"unix:/tmp/knee.sock", "x"});
  CHECK(parse_place("10.0.0.2:18812:/x", slaves) == Place{"10.0.0.2", "18812:/x"});
}

TEST_CASE("an IPv6 address has brackets, and may have a port") {
  CHECK(parse_place("[::1]:x", {}) == Place{"[::1]", "x"});
  CHECK(parse_place("[::1]:18812:x", {}) == Place{"[::1]:18812", "x"});
  CHECK(parse_place("[::1]:18812", {}) == Place{"[::1]", "18812"});
  CHECK(parse_place("[x]", {}) == Place{"", "[x]"});
}
