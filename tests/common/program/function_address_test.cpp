#include "common/program/function_address.h"

#include <cstdlib>
#include <memory>
#include <set>
#include <stdexcept>

#include <dlfcn.h>
#include <catch2/catch.hpp>

#include "sample.h"

using knee::program::FunctionAddress;
using knee::program::locate;
using knee::program::resolve;

namespace {

std::vector<std::string> all_drivers() {
  auto names = sample::dynamic_drivers();
  for (const std::string& name : sample::static_drivers()) names.push_back(name);
  return names;
}

int a_function(int x) {
  return x + 1;
}

}  // namespace

TEST_CASE("a function's place leads back to it") {
  const auto* function = reinterpret_cast<const void*>(&a_function);
  const FunctionAddress place = locate(function);
  CHECK(place.module.empty());
  CHECK(resolve(place) == function);
}

TEST_CASE("a library's function is placed in the library") {
  // By dlsym: the address of a library's function may be a stub in the executable.
  const void* function = ::dlsym(RTLD_NEXT, "gnu_get_libc_version");
  REQUIRE(function != nullptr);
  const FunctionAddress place = locate(function);
  CHECK(place.module == "libc.so.6");
  CHECK(resolve(place) == function);
}

TEST_CASE("places agree between runs, however the program is linked") {
  for (const std::string& name : all_drivers()) {
    INFO(name);
    const auto first = sample::driver(name, {"offsets"});
    INFO(first.output);
    CHECK(first.exit_code == 0);
    CHECK(first.lines("offset ").size() == 8);
    CHECK_FALSE(first.says("ELSEWHERE"));
    CHECK(first.output == sample::driver(name, {"offsets"}).output);
  }
}

TEST_CASE("functions of one name in two files have two places") {
  for (const std::string& name : all_drivers()) {
    const auto run = sample::driver(name, {"offsets"});
    INFO(name << '\n' << run.output);
    std::set<std::string> places;
    for (const std::string& line : run.lines("offset "))
      places.insert(line.substr(line.find(' ', 7)));
    CHECK(places.size() == 8);
  }
}

TEST_CASE("places agree between a driver and the materialized copy") {
  auto names = all_drivers();
  names.insert(names.end(), {"sample_rpath", "sample_slash"});
  for (const std::string& name : names) {
    const sample::Folder folder;
    const auto packed = sample::pack(name, folder);
    INFO(name << '\n' << packed.run.output);
    const auto here = sample::driver(name, {"offsets"});
    CHECK(here.exit_code == 0);
    CHECK(packed.start({"offsets"}).output == here.output);
  }
}

TEST_CASE("an address outside the program's files has no place") {
  const auto on_heap = std::make_unique<int>();
  CHECK_THROWS_WITH(locate(on_heap.get()), Catch::Contains("no file of the program"));
  CHECK_THROWS_AS(locate(nullptr), std::runtime_error);
}

TEST_CASE("a place that is not code is refused") {
  static const int data = 1;
  const FunctionAddress place = locate(&data);
  CHECK_THROWS_WITH(resolve(place), Catch::Contains("is not code"));
  CHECK_THROWS_WITH(resolve({"", ~std::uint64_t{0}}), Catch::Contains("is not code"));
  CHECK_THROWS_WITH(resolve({"libnone.so", 1}),
                    Catch::Contains("'libnone.so' is not loaded in this process"));
}
