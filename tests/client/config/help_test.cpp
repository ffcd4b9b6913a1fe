#include "client/config/help.h"

#include <catch2/catch.hpp>

#include <filesystem>
#include <sstream>

#include "client/config/option_table.h"
#include "client/config/resolve.h"
#include "client/config/scan.h"
#include "tests/client/config/surroundings_fixture.h"

namespace knee::config {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("the help shows every option with an example") {
  const std::string text = help_text("--knee-", "/home/sam/.config/knee/knee.toml");
  for (const Option& option : option_table()) {
    CHECK_THAT(text, Contains("\n  --knee-" + std::string(option.name)));
    CHECK_THAT(text, Contains("Example: --knee-" + std::string(option.name)));
  }
  CHECK_THAT(text, Contains("/home/sam/.config/knee/knee.toml"));
}

TEST_CASE("the help fits a terminal of 80 columns") {
  std::istringstream lines(help_text("--knee-", ""));
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK(line.size() <= 80);
  }
}

TEST_CASE("the help of the knee tool names the tool's options") {
  CHECK_THAT(help_text("--", ""), !Contains("--knee-"));
}

TEST_CASE("every example of the help is understood") {
  FakeSurroundings around;
  around.files["~/machines.txt"] = "unix:/tmp/sam.sock";
  for (const Option& option : option_table()) {
    if (option.shape == Shape::action) continue;
    std::string example = "--knee-" + std::string(option.name) + std::string(option.example);
    if (const auto space = example.find(' '); space != example.npos) example[space] = '=';
    INFO(example);
    CHECK(around.error({example, "--knee-insecure"}).empty());
  }
}

TEST_CASE("the page about options tells of every option, variable and key") {
  const auto page = std::filesystem::path(KNEE_SOURCE_DIR) / "docs/options.md";
  const std::string text = read_whole(page);
  for (const Option& option : option_table()) {
    const std::string name(option.name);
    CHECK_THAT(text, Contains("`--knee-" + name));
    if (option.shape == Shape::action) continue;
    CHECK_THAT(text, Contains("`" + variable_name(option) + "`"));
    CHECK_THAT(text, Contains("\n" + name + " = "));
  }
}

TEST_CASE("the knee.toml of the page about options is understood") {
  const auto page = std::filesystem::path(KNEE_SOURCE_DIR) / "docs/options.md";
  const std::string text = read_whole(page);
  const std::string fence = "```toml\n";
  const auto begin = text.find(fence);
  REQUIRE(begin != text.npos);
  const auto end = text.find("```", begin + fence.size());
  REQUIRE(end != text.npos);
  FakeSurroundings around;
  around.settings = text.substr(begin + fence.size(), end - begin - fence.size());
  around.variables["HOME"] = "/home/sam";
  around.files["/home/sam/machines.txt"] = "gandalf";
  CHECK(around.error().empty());
}

TEST_CASE("the version is a number behind the name") {
  CHECK_THAT(version_text(), Catch::Matchers::Matches("knee [0-9]+\\.[0-9]+\\.[0-9]+"));
}

}  // namespace
}  // namespace knee::config
