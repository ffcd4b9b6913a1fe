#define CATCH_CONFIG_ENABLE_PAIR_STRINGMAKER
#include "slave/command_folder.h"

#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/slave/few_descriptors.h"
#include "tests/slave/store/store_fixture.h"

namespace fs = std::filesystem;
using Catch::Contains;
using knee::slave::collect_outputs;
using knee::slave::CommandOutputs;
using knee::slave::test::FewDescriptors;

namespace {

using Contents = std::vector<std::pair<std::string, std::string>>;

/// The outputs' names and contents.
Contents contents_of(const CommandOutputs& outputs) {
  Contents contents;
  for (const auto& file : outputs.files) contents.emplace_back(file.name, file.content);
  return contents;
}

/// A file too large to travel in an outcome: an output that costs a descriptor.
void write_large(const fs::path& path) {
  std::ofstream(path).close();
  fs::resize_file(path, 100'000);
}

/// How many descriptors this process has, if it has closed none but its newest ones.
rlim_t descriptors() {
  const int next = ::dup(0);
  ::close(next);
  return static_cast<rlim_t>(next);
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

TEST_CASE("an output that cannot be opened for want of descriptors is not said to be missing") {
  const knee::slave::test::TempFolder folder;
  fs::create_directory(folder / "out");
  std::ofstream(folder / "out/small") << "content";
  for (const std::string name : {"out/small", "out"}) {
    const FewDescriptors none(descriptors());
    CHECK_THROWS_WITH(collect_outputs(folder.path(), {name}),
                      Contains("'" + name + "'") && Contains("Too many open files"));
  }
  CHECK(contents_of(collect_outputs(folder.path(), {"out"})) == Contents{{"out/small", "content"}});
}

TEST_CASE("a folder below an output folder that cannot be read for want of descriptors is told") {
  const knee::slave::test::TempFolder folder;
  fs::create_directories(folder / "out/deep");
  std::ofstream(folder / "out/deep/small") << "content";
  const FewDescriptors one(descriptors() + 1);
  CHECK_THROWS_WITH(collect_outputs(folder.path(), {"out"}), Contains("Too many open files"));
}

TEST_CASE("large outputs leave a quarter of the descriptors to others, whoever keeps them") {
  const knee::slave::test::TempFolder folder;
  fs::create_directory(folder / "out");
  for (int i = 0; i < 20; ++i) write_large(folder / ("out/" + std::to_string(i)));
  std::ofstream(folder / "small") << "content";
  const auto free_before = descriptors();
  const rlim_t most = 4 * (free_before + 10);
  const FewDescriptors few(most);
  std::vector<CommandOutputs> kept;
  const auto collect = [&] { kept.push_back(collect_outputs(folder.path(), {"out"})); };
  while (descriptors() + 20 <= most / 4 * 3) collect();
  REQUIRE(!kept.empty());
  CHECK(kept.back().files.size() == 20);
  const auto used = descriptors();
  CHECK_THROWS_WITH(collect(),
                    Contains("'out/") && Contains(std::to_string(most)) && Contains("ulimit -n"));
  CHECK(descriptors() == used);
  // Small ones cost none for long.
  CHECK(contents_of(collect_outputs(folder.path(), {"small"})) == Contents{{"small", "content"}});
  kept.pop_back();
  CHECK_NOTHROW(collect());
}
