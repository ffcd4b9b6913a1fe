#include "cli/copy_line.h"

#include <catch2/catch.hpp>

#include <sstream>

using Catch::Contains;
using knee::cli::CopyLine;
using namespace std::chrono_literals;

TEST_CASE("a copy's line says how much, how fast, and what was there before") {
  std::ostringstream out;
  {
    CopyLine line(out);
    const CopyLine::Clock::time_point start{};
    line.show({"gandalf:x\ty", 50'000'000, 200'000'000, 50'000'000, 0}, start);
    line.show({"gandalf:x\ty", 60'000'000, 200'000'000, 50'000'000, 0}, start + 10ms);
    CHECK_THAT(out.str(), !Contains("30%"));  // too soon after the last
    line.show({"gandalf:x\ty", 100'000'000, 200'000'000, 50'000'000, 0}, start + 500ms);
  }
  CHECK_THAT(out.str(), Contains("gandalf:x?y  25%  50.0 MB") &&
                            Contains("50%  100 MB  100 MB/s  (50.0 MB were there)") &&
                            Catch::EndsWith("\n"));
}

TEST_CASE("each file of a copy has a line of its own, also an empty one") {
  std::ostringstream out;
  {
    CopyLine line(out);
    const CopyLine::Clock::time_point start{};
    line.show({"a", 0, 0, 0, 0}, start);
    line.show({"a", 0, 0, 0, 0}, start);
    line.show({"b", 0, 10, 0, 1}, start + 1ms);
    line.show({"b", 10, 10, 0, 1}, start + 2ms);
  }
  CHECK_THAT(out.str(), Contains("a    0.00 B\n") && Contains("b  100%  10.0 B"));
}
