#include "examples/05_nas_ep/ep.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>

TEST_CASE("a stream that skips numbers goes on where one that drew them is") {
  for (const std::uint64_t skipped : {0, 1, 2, 3, 1000, 65537}) {
    ep::Random slow;
    for (std::uint64_t i = 0; i < skipped; ++i) slow.next();
    ep::Random fast(skipped);
    for (int i = 0; i < 10; ++i) REQUIRE(fast.next() == slow.next());
  }
}

TEST_CASE("the numbers are those of the recurrence, kept in 46 bits") {
  // 5^13 * 271828183 mod 2^46, worked out by hand.
  const std::uint64_t first = 1220703125ULL * 271828183ULL % (1ULL << 46);
  REQUIRE(ep::Random().next() == static_cast<double>(first) / static_cast<double>(1ULL << 46));
}

TEST_CASE("class S has the published sums, however it is cut into blocks") {
  const ep::Class problem = *ep::find_class('S');
  constexpr std::uint64_t kBlocks = 7;
  const std::uint64_t block = problem.pairs / kBlocks;
  ep::Tally total;
  for (std::uint64_t i = 0; i < kBlocks; ++i)
    total += ep::tally(i * block, i + 1 < kBlocks ? block : problem.pairs - i * block);
  CHECK(total.sum_x == Approx(-3.247834652034740e+03).epsilon(1e-8));
  CHECK(total.sum_y == Approx(-6.958407078382297e+03).epsilon(1e-8));
  CHECK(total.counts ==
        std::array<std::uint64_t, 10>{6140517, 5865300, 1100361, 68546, 1648, 17, 0, 0, 0, 0});
  CHECK(ep::verified(total, problem));
}

TEST_CASE("a sum that is wrong in the seventh digit is not verified") {
  const ep::Class problem = *ep::find_class('S');
  ep::Tally wrong;
  wrong.sum_x = problem.sum_x * (1 + 1e-7);
  wrong.sum_y = problem.sum_y;
  REQUIRE_FALSE(ep::verified(wrong, problem));
  wrong.sum_x = problem.sum_x;
  REQUIRE(ep::verified(wrong, problem));
}

TEST_CASE("there is no class of an unknown letter") {
  REQUIRE_FALSE(ep::find_class('Z'));
}
