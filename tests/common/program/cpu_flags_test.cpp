#include "common/program/cpu_flags.h"

#include <algorithm>

#include <catch2/catch.hpp>

using knee::program::cpu_flags;
using knee::program::missing_cpu_flags;

TEST_CASE("the processor's flags are sorted and each is named once") {
  const auto flags = cpu_flags();
  CHECK(std::is_sorted(flags.begin(), flags.end()));
  CHECK(std::adjacent_find(flags.begin(), flags.end()) == flags.end());
#ifdef __x86_64__
  CHECK(std::binary_search(flags.begin(), flags.end(), "sse2"));
#endif
}

TEST_CASE("flags that a slave lacks are named") {
  using Flags = std::vector<std::string>;
  CHECK(missing_cpu_flags({"avx", "avx2", "sse2"}, {"avx", "sse2"}) == Flags{"avx2"});
  CHECK(missing_cpu_flags({"avx"}, {"avx", "avx2"}).empty());
  CHECK(missing_cpu_flags({}, {}).empty());
}
