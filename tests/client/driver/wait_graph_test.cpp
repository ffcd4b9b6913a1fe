#include "client/driver/wait_graph.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

using knee::driver::WaitGraph;

namespace {

using Members = std::vector<std::size_t>;
using Calls = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("two that wait for what the other holds up are a circle") {
  WaitGraph graph;
  CHECK(graph.add(1, Calls{2, 7}).empty());
  CHECK(graph.add(2, Calls{8, 1}) == Members{1, 0});
  CHECK(graph.call_of(0) == 1);
  CHECK(graph.call_of(1) == 2);
}

TEST_CASE("a circle begins with the member that closes it and follows what is waited for") {
  WaitGraph graph;
  CHECK(graph.add(12, Calls{20}).empty());
  CHECK(graph.add(13, Calls{12}).empty());
  CHECK(graph.add(99, Calls{5}).empty());
  CHECK(graph.add(20, Calls{13}) == Members{3, 0, 1});
}

TEST_CASE("one that waits for what it holds up itself is a circle") {
  CHECK(WaitGraph().add(3, Calls{4, 3}) == Members{0});
}

TEST_CASE("a line is no circle, in whatever order it is told") {
  WaitGraph graph;
  const bool forwards = GENERATE(true, false);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    const std::uint64_t member = forwards ? i : 6 - i;
    CHECK(graph.add(member + 1, Calls{member}).empty());
  }
}

TEST_CASE("who waits for a member of a circle is none itself") {
  WaitGraph graph;
  CHECK(graph.add(1, Calls{2}).empty());
  CHECK(graph.add(2, Calls{1, 3}) == Members{1, 0});
  CHECK(graph.add(3, Calls{4}).empty());
  CHECK(graph.add(4, Calls{}).empty());
}

TEST_CASE("calls without a number are nobody's") {
  WaitGraph graph;
  CHECK(graph.add(0, Calls{0}).empty());
  CHECK(graph.add(0, Calls{0}).empty());
}
