#include "slave/run_time_estimates.h"

#include <catch2/catch.hpp>

using knee::slave::RunTimeEstimates;
using namespace std::chrono_literals;

TEST_CASE("a function that never ran counts as a long one") {
  RunTimeEstimates estimates;
  CHECK(estimates.of(0) == 1ms);
  estimates.add(3, 5us);
  CHECK(estimates.of(2) == 1ms);
  CHECK(estimates.of(4) == 1ms);
}

TEST_CASE("the first run counts whole, later ones an eighth, and each has its overhead") {
  RunTimeEstimates estimates;
  estimates.add(0, 800ns);
  CHECK(estimates.of(0) == 1300ns);
  estimates.add(0, 1600ns);
  CHECK(estimates.of(0) == 1400ns);
}

TEST_CASE("an estimate follows a function that has changed its ways") {
  RunTimeEstimates estimates;
  for (int i = 0; i < 50; ++i) estimates.add(0, 10s);
  for (int i = 0; i < 200; ++i) estimates.add(0, 1us);
  CHECK(estimates.of(0) < 2us);
}

TEST_CASE("functions beyond all measure cost no memory and count as unknown") {
  RunTimeEstimates estimates;
  estimates.add(0xffffffff, 1ns);
  estimates.add(1 << 16, 1ns);
  CHECK(estimates.of(0xffffffff) == 1ms);
  CHECK(estimates.of(1 << 16) == 1ms);
}
