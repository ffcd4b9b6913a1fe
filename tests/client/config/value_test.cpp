#include "client/config/value.h"

#include <knee/error.h>
#include <catch2/catch.hpp>

namespace knee::config {
namespace {

using Catch::Matchers::Contains;
using namespace std::chrono_literals;

TEST_CASE("durations are a number and a unit") {
  CHECK(parse_duration("500ms", "p") == 500ms);
  CHECK(parse_duration("2s", "p") == 2s);
  CHECK(parse_duration("1.5 s", "p") == 1500ms);
  CHECK(parse_duration("2min", "p") == 2min);
  CHECK(parse_duration("1h", "p") == 1h);
  CHECK(parse_duration("7us", "p") == 7us);
  CHECK(parse_duration(" 7ns ", "p") == 7ns);
  CHECK(parse_duration("0", "p") == 0ns);
}

TEST_CASE("durations without a unit, with a strange one or out of range are refused") {
  for (const char* text :
       {"", "5", "s", "5m", "5 seconds", "5s5", "nan s", "infs", "1e3s", "0x5s", "+5s"}) {
    INFO(text);
    CHECK_THROWS_WITH(parse_duration(text, "p"), Contains("p: '") && Contains("is not a duration"));
  }
  CHECK_THROWS_WITH(parse_duration("-1s", "p"), Contains("out of range"));
  CHECK_THROWS_WITH(parse_duration("9000h", "p"), Contains("out of range"));
  CHECK_THROWS_WITH(parse_duration("99999999999999999999999s", "p"), Contains("out of range"));
}

TEST_CASE("switches know the usual words") {
  for (const char* text : {"yes", "true", "on", "1", "Yes", "TRUE", " on "})
    CHECK(parse_switch(text, "p"));
  for (const char* text : {"no", "false", "off", "0", "No"}) CHECK_FALSE(parse_switch(text, "p"));
  for (const char* text : {"", "2", "y", "yess"}) CHECK_THROWS_AS(parse_switch(text, "p"), Error);
}

TEST_CASE("slots are a number in range") {
  CHECK(parse_slots("0", "p") == 0);
  CHECK(parse_slots(" 12 ", "p") == 12);
  CHECK(parse_slots("10000", "p") == kMostSlots);
  for (const char* text : {"", "-1", "+1", "1.5", "4x", "10001", "99999999999999999999"})
    CHECK_THROWS_AS(parse_slots(text, "p"), Error);
}

TEST_CASE("environment entries need a name") {
  CHECK_NOTHROW(check_environment_entry("A=", "p"));
  CHECK_NOTHROW(check_environment_entry("A=b=c", "p"));
  CHECK_THROWS_AS(check_environment_entry("A", "p"), Error);
  CHECK_THROWS_AS(check_environment_entry("=b", "p"), Error);
  CHECK_THROWS_AS(check_environment_entry(std::string("A=b\0c", 5), "p"), Error);
}

TEST_CASE("the closest word is the one with the fewest slips, if any is near") {
  CHECK(closest("slaevs", {"slots", "slaves"}) == "slaves");
  CHECK(closest("slot", {"slots", "slaves"}) == "slots");
  CHECK(closest("xyz", {"slots", "slaves"}).empty());
  CHECK(closest("", {"slots"}).empty());
}

}  // namespace
}  // namespace knee::config
