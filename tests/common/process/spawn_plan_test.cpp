#include "common/process/spawn_plan.h"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <utility>

using namespace knee::process;

namespace {

SpawnPlan full_plan() {
  return {.executable = "/x/pi",
          .executable_fd = 30,
          .search_path = true,
          .arguments = {"pi", "", "two words"},
          .environment = {"A=1", "B="},
          .cwd = "/scratch",
          .descriptors = {{31, 1, false}, {32, 999, true}},
          .cpus = std::vector<int>{0, 5},
          .open_files = 1024,
          .oom_score_more = 7};
}

}  // namespace

TEST_CASE("a plan survives the way to a keeper, with the numbers its descriptors have there") {
  const auto plan = full_plan();
  CHECK(descriptors_of(plan) == std::vector<int>{30, 31, 32});
  auto there = plan;
  there.executable_fd = 4;
  there.descriptors[0].here = 5;
  there.descriptors[1].here = 6;
  CHECK(decode_plan(encode(plan), std::vector<int>{4, 5, 6}) == there);
}

TEST_CASE("an almost empty plan survives too") {
  SpawnPlan plan;
  plan.executable = "program";
  CHECK(decode_plan(encode(plan), {}) == plan);
}

TEST_CASE("a plan cut short anywhere is refused") {
  const auto bytes = encode(full_plan());
  const std::vector<int> numbers{4, 5, 6};
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_THROWS_AS(decode_plan(std::span(bytes).first(size), numbers), std::runtime_error);
  }
}

TEST_CASE("a plan with fewer descriptors than it names is refused") {
  CHECK_THROWS_AS(decode_plan(encode(full_plan()), std::vector<int>{4, 5}), std::runtime_error);
}

TEST_CASE("plans no machine could carry out are refused with the reason") {
  CHECK_NOTHROW(check(full_plan()));
  auto plan = full_plan();
  plan.descriptors.push_back({40, 999});
  CHECK_THROWS_WITH(check(plan), "cannot start '/x/pi': descriptor 999 is given twice");
  plan = full_plan();
  plan.descriptors.push_back({40, -1});
  CHECK_THROWS_WITH(check(plan), Catch::Contains("negative"));
  plan = full_plan();
  plan.arguments.emplace_back("a\0b", 3);
  CHECK_THROWS_WITH(check(plan), Catch::Contains("an argument contains a zero byte"));
  plan = full_plan();
  for (int i = 0; i < 300; ++i) plan.descriptors.push_back({40, 2000 + i});
  CHECK_THROWS_WITH(check(plan), Catch::Contains("at most 251"));
  CHECK_THROWS_WITH(check({}), Catch::Contains("no executable is named"));
}

TEST_CASE("a flag that is neither 0 nor 1 is read as a flag") {
  auto bytes = encode(full_plan());
  // Every byte in turn; what the plan says then is beside the point.
  for (auto& byte : bytes) {
    const auto before = std::exchange(byte, std::byte{26});
    try {
      for (const auto& passed : decode_plan(bytes, std::vector<int>(16, 4)).descriptors) {
        const auto value = static_cast<int>(passed.close_on_exec);
        CHECK((value == 0 || value == 1));
      }
    } catch (const std::runtime_error&) {
    }
    byte = before;
  }
}
