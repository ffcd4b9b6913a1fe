#include "common/program/library_path.h"

#include <cstdlib>

#include <catch2/catch.hpp>

#include "sample.h"

namespace {

using Environment = std::vector<std::string>;
using knee::program::add_library_path;

// What a program that restores the variable sees, started in `environment` with a shipped folder.
sample::Run report(const Environment& environment) {
  const sample::Folder folder;
  return sample::pack("sample_pie", folder).start({"report"}, environment);
}

}  // namespace

TEST_CASE("shipped libraries come before those of the node's own library path") {
  Environment environment{"A=1", "LD_LIBRARY_PATH=/gpu", "B=2"};
  add_library_path(environment, "/shipped");
  CHECK(environment == Environment{"A=1", "B=2", "LD_LIBRARY_PATH=/shipped:/gpu",
                                   "KNEE_LD_LIBRARY_PATH_ORIGINAL=+/gpu"});
}

TEST_CASE("an environment without library path gets one") {
  Environment environment{"A=1"};
  add_library_path(environment, "/shipped");
  CHECK(environment ==
        Environment{"A=1", "LD_LIBRARY_PATH=/shipped", "KNEE_LD_LIBRARY_PATH_ORIGINAL=-"});
}

TEST_CASE("an empty library path is not taken for the working directory") {
  Environment environment{"LD_LIBRARY_PATH="};
  add_library_path(environment, "/shipped");
  CHECK(environment[0] == "LD_LIBRARY_PATH=/shipped");
  CHECK(environment[1] == "KNEE_LD_LIBRARY_PATH_ORIGINAL=+");
}

TEST_CASE("the environment of a static program stays as it is") {
  Environment environment{"LD_LIBRARY_PATH=/gpu"};
  add_library_path(environment, "");
  CHECK(environment == Environment{"LD_LIBRARY_PATH=/gpu"});
}

TEST_CASE("a started program gets the node's library path back") {
  const auto run = report({"LD_LIBRARY_PATH=/gpu:/other"});
  CHECK(run.value("library path") == "/gpu:/other");
  CHECK(run.value("mark") == "(unset)");
  CHECK(run.value("greeting") == "shipped");
}

TEST_CASE("a started program has no library path where the node has none") {
  ::unsetenv("LD_LIBRARY_PATH");
  const auto run = report({});
  CHECK(run.value("library path") == "(unset)");
  CHECK(run.value("mark") == "(unset)");
}

TEST_CASE("a program that was not started by a slave keeps its library path") {
  const auto run = sample::driver("sample_pie", {"report"});
  CHECK(run.value("library path") == sample::file("libraries"));
}
