// A slave that has no descriptors left, or few.
#include "tests/slave/few_descriptors.h"

#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "slave/command_folder.h"
#include "tests/slave/session_fixture.h"

// UndefinedBehaviorSanitizer looks at types with the help of a pipe, and takes its want for an
// error.
#ifndef __SANITIZE_ADDRESS__

namespace fs = std::filesystem;
using namespace knee::slave;
using namespace knee::slave::test;
using Catch::Contains;

namespace {

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

/// That there is this one file, of this name, and no other.
void check_only(const CommandOutputs& outputs, const std::string& name) {
  REQUIRE(outputs.files.size() == 1);
  CHECK(outputs.files[0].name == name);
  CHECK(outputs.files[0].content == "content");
}

}  // namespace

TEST_CASE("an output that cannot be opened for want of descriptors is not said to be missing") {
  const knee::slave::test::TempFolder folder;
  fs::create_directory(folder / "out");
  std::ofstream(folder / "out/small") << "content";
  for (const std::string name : {"out/small", "out"}) {
    const FewDescriptors none(descriptors());
    CHECK_THROWS_WITH(collect_outputs(folder.path(), {name}),
                      Contains("'" + name + "'") && Contains("Too many open files"));
  }
  check_only(collect_outputs(folder.path(), {"out"}), "out/small");
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
  check_only(collect_outputs(folder.path(), {"small"}), "small");
  kept.pop_back();
  CHECK_NOTHROW(collect());
}

TEST_CASE("a task whose functions find no descriptor waits for one, and the slave goes on") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1}});
  auto& worker = place.ready(0);
  CHECK(place.run_all(worker) == Ids{1});
  {
    const FewDescriptors none(0);
    place.send(session, {.tasks = {2}, .with_function = true});
    place.send(session, {.tasks = {3}});
    CHECK_FALSE(worker.begin());
    const auto told = place.told(session);
    REQUIRE(told.notes.size() == 1);
    CHECK_THAT(told.notes.front(), Catch::Contains("Too many open files"));
    CHECK(place.busy() == 0);
  }
  Ids done;
  REQUIRE(place.wait_until([&] {
    for (const auto task : place.run_all(worker)) done.push_back(task);
    return done.size() == 2;
  }));
  CHECK(done == Ids{2, 3});
}

#endif
