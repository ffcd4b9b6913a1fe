#include "slave/program_cache.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>

#include "store/store_fixture.h"

using namespace knee;
using namespace knee::slave;

namespace {

std::vector<std::string> values_of(const std::vector<std::string>& environment,
                                   const std::string& name) {
  std::vector<std::string> values;
  for (const auto& entry : environment)
    if (entry.starts_with(name + "=")) values.push_back(entry.substr(name.size() + 1));
  return values;
}

using Values = std::vector<std::string>;

}  // namespace

TEST_CASE("a session's variables stand over the slave's own") {
  ::setenv("KNEE_TEST_ONE", "slave", 1);
  ::setenv("KNEE_TEST_ONE_MORE", "slave", 1);
  const auto environment = environment_with({"KNEE_TEST_ONE=driver", "KNEE_TEST_NEW=a=b"});
  CHECK(values_of(environment, "KNEE_TEST_ONE") == Values{"driver"});
  CHECK(values_of(environment, "KNEE_TEST_ONE_MORE") == Values{"slave"});
  CHECK(values_of(environment, "KNEE_TEST_NEW") == Values{"a=b"});
  ::unsetenv("KNEE_TEST_ONE");
  ::unsetenv("KNEE_TEST_ONE_MORE");
}

TEST_CASE("of a variable said twice the last counts, and it may be empty") {
  const auto environment = environment_with({"KNEE_TEST=1", "KNEE_TEST=2", "KNEE_TEST="});
  CHECK(values_of(environment, "KNEE_TEST") == Values{""});
}

TEST_CASE("what names no variable changes nothing") {
  const auto before = environment_with({});
  REQUIRE_FALSE(before.empty());
  CHECK(environment_with({"NO_EQUALS_SIGN", "", "=x"}) == before);
}

TEST_CASE("a program with a file the store lacks is refused by that file's name") {
  test::TempFolder folder;
  BlobStore store(folder / "store", test::kRoomy);
  AnnouncedFile file;
  file.name = "libgandalf.so";
  file.digest = test::digest_of_text("not there");
  CHECK_THROWS_WITH(prepare_program(store, {file}),
                    Catch::Contains("libgandalf.so") && Catch::Contains("not in the store"));
}
