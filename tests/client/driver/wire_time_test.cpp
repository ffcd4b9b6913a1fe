#include "client/driver/wire_time.h"

#include <catch2/catch.hpp>

#include <cstdint>

namespace knee::driver {
namespace {

using namespace std::chrono_literals;

const std::chrono::system_clock::time_point kWall{1'700'000'000s + 250ms};
const Time kNow{5h};

TEST_CASE("the end a slave announces is found on the scheduler's clock") {
  CHECK(end_from_wire(1'700'000'060, kWall, kNow) == kNow + 59s + 750ms);
  CHECK(end_from_wire(1'699'999'990, kWall, kNow) == kNow - 10s - 250ms);
}

TEST_CASE("a slave that announces no end has none") {
  CHECK_FALSE(end_from_wire(0, kWall, kNow).has_value());
}

TEST_CASE("an announced end that cannot be is far away, on its side of now") {
  CHECK(end_from_wire(INT64_MAX, kWall, kNow).value() > kNow + 24h * 365);
  CHECK(end_from_wire(INT64_MIN, kWall, kNow).value() < kNow - 24h * 365);
}

}  // namespace
}  // namespace knee::driver
