#include "cli/arguments.h"

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/system/harness/temporary_folder.h"

using knee::cli::Arguments;
using Jobs = std::vector<std::vector<std::string>>;

namespace {

Jobs all_of(Arguments arguments) {
  Jobs jobs;
  while (auto next = arguments.next()) jobs.push_back(*next);
  return jobs;
}

}  // namespace

TEST_CASE("several sources give every combination, the last changing fastest") {
  CHECK(all_of(Arguments::from_sources({{false, {"a", "b"}}, {false, {"1", "2"}}})) ==
        Jobs{{"a", "1"}, {"a", "2"}, {"b", "1"}, {"b", "2"}});
  CHECK(all_of(Arguments::from_sources({{false, {"a", "b"}}})) == Jobs{{"a"}, {"b"}});
  CHECK(all_of(Arguments::from_sources({{false, {"a"}}, {false, {}}})).empty());
}

TEST_CASE("a file gives an argument for each line, also the last without an end") {
  const knee::test::TemporaryFolder here;
  std::ofstream(here / "lines") << "one\ntwo words\n\nlast";
  const Jobs lines{{"one"}, {"two words"}, {""}, {"last"}};
  CHECK(all_of(Arguments::from_lines(here / "lines")) == lines);
  CHECK(all_of(Arguments::from_sources({{true, {here / "lines"}}})) == lines);
  CHECK_THROWS_WITH(Arguments::from_lines(here / "none"), Catch::Contains("No such file"));
}
