#include "slave/scratch_folder.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <set>

using knee::slave::ScratchFolder;
namespace fs = std::filesystem;

namespace {

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

/// As a slave leaves it that was killed.
void abandon(const std::string& path) {
  fs::create_directories(path + "/worker0-abcdef/deep");
  std::ofstream(path + "/worker0-abcdef/deep/file") << "left";
}

}  // namespace

TEST_CASE(
    "a scratch folder is there, empty and private, until it is destroyed with what it holds") {
  const ScratchFolder base;
  std::string path;
  {
    const ScratchFolder folder(base.path());
    path = folder.path();
    CHECK(names_in(path).empty());
    CHECK((fs::status(path).permissions() & fs::perms::all) == fs::perms::owner_all);
    abandon(path + "/inside");
  }
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("a sweep removes folders without an owner, and nothing else") {
  const ScratchFolder base;
  const ScratchFolder used(base.path());
  abandon(base.path() + "/knee-slave-111111");
  abandon(base.path() + "/knee-slave-222222");
  abandon(base.path() + "/somebody-elses");
  std::ofstream(base.path() + "/knee-slave-file") << "no folder";
  fs::create_directory_symlink(base.path() + "/somebody-elses", base.path() + "/knee-slave-link");
  ScratchFolder::sweep(base.path());
  CHECK(names_in(base.path()) == std::set<std::string>{fs::path(used.path()).filename(),
                                                       "somebody-elses", "knee-slave-file",
                                                       "knee-slave-link"});
  CHECK(fs::exists(base.path() + "/somebody-elses/worker0-abcdef/deep/file"));
}

TEST_CASE("a scratch folder that cannot be made says where, and what to do") {
  CHECK_THROWS_WITH(ScratchFolder("/nowhere/at/all"),
                    Catch::Contains("/nowhere/at/all") && Catch::Contains("TMPDIR"));
}
