#include <catch2/catch.hpp>

#include <cstdint>

#include "client/call/call_chain.h"

using knee::detail::CallIdentity;
using knee::detail::new_number;
using knee::detail::was_sent_before;

TEST_CASE("of two calls of one process the one with the smaller number was sent before") {
  const CallIdentity first{.chain = 0, .number = new_number()};
  const CallIdentity second{.chain = 0, .number = new_number()};
  CHECK(was_sent_before(first, second));
  CHECK_FALSE(was_sent_before(second, first));
  CHECK_FALSE(was_sent_before(first, first));
}

TEST_CASE("calls keep their order where the numbers of a process begin again") {
  const CallIdentity last{.chain = 0, .number = UINT64_MAX};
  const CallIdentity next{.chain = 0, .number = 1};
  CHECK(was_sent_before(last, next));
  CHECK_FALSE(was_sent_before(next, last));
}

TEST_CASE("of calls of two processes, or without a number, no order is known") {
  const CallIdentity here{.chain = 0, .number = 1000};
  const CallIdentity elsewhere{.chain = 0, .number = std::uint64_t{1} << 50};
  const CallIdentity untold{};
  CHECK_FALSE(was_sent_before(here, elsewhere));
  CHECK_FALSE(was_sent_before(elsewhere, here));
  CHECK_FALSE(was_sent_before(untold, here));
  CHECK_FALSE(was_sent_before(here, untold));
}
