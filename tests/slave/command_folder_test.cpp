#include "slave/command_folder.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include "tests/slave/store/store_fixture.h"

using knee::slave::collect_outputs;

TEST_CASE("outputs that are no files are missing") {
  const knee::slave::test::TempFolder folder;
  std::ofstream(folder / "made") << "content";
  const auto outputs = collect_outputs(folder.path(), {"made", "not made", "/dev/null"});
  REQUIRE(outputs.files.size() == 1);
  CHECK(outputs.files[0].name == "made");
  CHECK(outputs.files[0].content == "content");
  CHECK(outputs.missing == std::vector<std::string>{"not made", "/dev/null"});
}

TEST_CASE("more files than a message can name are counted") {
  const knee::slave::test::TempFolder folder;
  std::filesystem::create_directory(folder / "out");
  for (int i = 0; i < 30'050; ++i) std::ofstream(folder / ("out/" + std::to_string(i)));
  const auto outputs = collect_outputs(folder.path(), {"out"});
  CHECK(outputs.files.size() == 20'000);
  CHECK(outputs.missing.size() == 10'000);
  CHECK(outputs.missing.back() == "(and 51 more)");
}
