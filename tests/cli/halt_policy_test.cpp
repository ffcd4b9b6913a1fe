#include "cli/halt_policy.h"

#include <catch2/catch.hpp>

using knee::cli::HaltPolicy;

TEST_CASE("a halt is reached by failures, successes or jobs in all") {
  CHECK_FALSE(HaltPolicy::parse("never").reached(1000, 1000));
  const auto fail = HaltPolicy::parse("now,fail=2");
  CHECK(fail.how() == HaltPolicy::How::now);
  CHECK_FALSE(fail.reached(9, 1));
  CHECK(fail.reached(0, 2));
  CHECK(HaltPolicy::parse("soon,success=1").reached(1, 0));
  CHECK_FALSE(HaltPolicy::parse("soon,success=1").reached(0, 9));
  CHECK(HaltPolicy::parse("soon,done=3").reached(2, 1));
}

TEST_CASE("a part of the jobs counts once three have ended") {
  const auto half = HaltPolicy::parse("soon,fail=50%");
  CHECK_FALSE(half.reached(0, 2));
  CHECK(half.reached(1, 2));
  CHECK_FALSE(half.reached(3, 2));
}

TEST_CASE("a halt that cannot be read is refused with how it is written") {
  for (const char* text :
       {"", "now", "now,fail", "later,fail=1", "now,fails=1", "now,fail=x", "now,fail=0"})
    CHECK_THROWS_WITH(HaltPolicy::parse(text), Catch::Contains("now,fail=1"));
}
