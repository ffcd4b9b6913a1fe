#define CATCH_CONFIG_ENABLE_PAIR_STRINGMAKER
#include "slave/command_folder.h"

#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/slave/store/store_fixture.h"

namespace fs = std::filesystem;
using knee::slave::collect_outputs;
using knee::slave::CommandOutputs;

namespace {

using Contents = std::vector<std::pair<std::string, std::string>>;

/// The outputs' names and contents.
Contents contents_of(const CommandOutputs& outputs) {
  Contents contents;
  for (const auto& file : outputs.files) contents.emplace_back(file.name, file.content);
  return contents;
}

}  // namespace

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

TEST_CASE("links to files below an output folder come back under their own names") {
  const knee::slave::test::TempFolder folder;
  fs::create_directories(folder / "out/deep");
  std::ofstream(folder / "out/run1") << "one";
  std::ofstream(folder / "else") << "outside";
  fs::create_symlink("run1", folder / "out/latest");
  fs::create_symlink("../../else", folder / "out/deep/up");
  const Contents expected{{"out/deep/up", "outside"}, {"out/latest", "one"}, {"out/run1", "one"}};
  const auto outputs = collect_outputs(folder.path(), {"out"});
  CHECK(contents_of(outputs) == expected);
  CHECK(outputs.missing.empty());
  // Also where the way to the folder has links in it.
  fs::create_symlink(folder.path(), folder / "way");
  CHECK(contents_of(collect_outputs(folder / "way", {"out"})) == expected);
}

TEST_CASE("an output that is a link comes back under its own name") {
  const knee::slave::test::TempFolder folder;
  fs::create_directory(folder / "run1");
  std::ofstream(folder / "run1/data") << "one";
  fs::create_symlink("run1", folder / "latest");
  fs::create_symlink("run1/data", folder / "file");
  const auto outputs = collect_outputs(folder.path(), {"latest", "file"});
  CHECK(contents_of(outputs) == Contents{{"latest/data", "one"}, {"file", "one"}});
}

TEST_CASE("broken links and linked folders below an output folder are left out") {
  const knee::slave::test::TempFolder folder;
  fs::create_directories(folder / "out");
  fs::create_directories(folder / "else");
  std::ofstream(folder / "out/a") << "a";
  std::ofstream(folder / "out/z") << "z";
  std::ofstream(folder / "else/file") << "outside";
  fs::create_symlink("nowhere", folder / "out/broken");
  fs::create_symlink("circle", folder / "out/circle");
  fs::create_symlink("../else", folder / "out/linked");
  fs::create_symlink("..", folder / "out/up");
  const auto outputs = collect_outputs(folder.path(), {"out"});
  CHECK(contents_of(outputs) == Contents{{"out/a", "a"}, {"out/z", "z"}});
  CHECK(outputs.missing.empty());
}

TEST_CASE("an output folder's files are below the name it was asked for by") {
  const knee::slave::test::TempFolder folder;
  fs::create_directories(folder / "out/deep");
  std::ofstream(folder / "out/deep/a") << "a";
  for (const std::string name : {"out", "out/", "./out", "out/."}) {
    INFO(name);
    const auto outputs = collect_outputs(folder.path(), {name});
    CHECK(contents_of(outputs) == Contents{{fs::path(name) / "deep/a", "a"}});
  }
}
