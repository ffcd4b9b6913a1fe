#include "common/channel/spin_policy.h"

#include <catch2/catch.hpp>

using knee::channel::SpinPolicy;
using namespace std::chrono_literals;

TEST_CASE("nobody spins before a short wait was seen") {
  CHECK(SpinPolicy(2).limit() == 0ns);
}

TEST_CASE("after a short wait one spins, after a long one no more, until there is a short one") {
  SpinPolicy policy(2);
  policy.waited(SpinPolicy::kShort);
  CHECK(policy.limit() == SpinPolicy::kLongest);
  policy.waited(SpinPolicy::kShort + 1ns);
  CHECK(policy.limit() == 0ns);
  policy.waited(1us);
  CHECK(policy.limit() == SpinPolicy::kLongest);
}

TEST_CASE("on a single core nobody spins") {
  SpinPolicy policy(1);
  policy.waited(1us);
  CHECK(policy.limit() == 0ns);
}
