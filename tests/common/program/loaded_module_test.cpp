#include "common/program/loaded_module.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include "sample.h"

using knee::program::loaded_modules;
using knee::program::LoadedModule;

TEST_CASE("this program's files are the executable, a loader and libraries") {
  const auto modules = loaded_modules();
  REQUIRE(modules.size() > 2);
  CHECK(modules[0].kind == LoadedModule::Kind::kExecutable);
  CHECK(modules[0].name.empty());
  CHECK(modules[0].contains(reinterpret_cast<std::uintptr_t>(&sample::file)));
  const auto loaders = std::count_if(modules.begin(), modules.end(), [](const auto& module) {
    return module.kind == LoadedModule::Kind::kLoader;
  });
  CHECK(loaders == 1);
  for (const LoadedModule& module : modules) CHECK(module.name.find("vdso") == std::string::npos);
}

TEST_CASE("a dynamic program names its libraries as they are looked for") {
  for (const std::string& name : sample::dynamic_drivers()) {
    INFO(name);
    const auto run = sample::driver(name, {"modules"});
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(run.says("module executable ''"));
    CHECK(run.lines("module loader 'ld-linux").size() == 1);
    CHECK(run.lines("module library 'libgreeting.so.1'").size() == 1);
    CHECK(run.lines("module library 'libc.so.6'").size() == 1);
  }
}

TEST_CASE("a static program is one file") {
  for (const std::string& name : sample::static_drivers()) {
    INFO(name);
    const auto run = sample::driver(name, {"modules"});
    CHECK(run.output == "module executable '' with id\n");
  }
}

TEST_CASE("build ids are found in memory, or found absent") {
  CHECK(sample::driver("sample_stripped", {"modules"}).says("module executable '' with id"));
  CHECK(sample::driver("sample_no_id", {"modules"}).says("module executable '' without id"));
}

TEST_CASE("a preloaded file is no part of the program") {
  for (const std::string& preload :
       {sample::file("plugins/sample_plugin.so"), std::string("sample_plugin.so")}) {
    const auto run =
        sample::driver("sample_pie", {"modules"},
                       {"LD_PRELOAD=" + preload, "LD_LIBRARY_PATH=" + sample::file("libraries") +
                                                     ":" + sample::file("plugins")});
    CHECK(run.exit_code == 0);
    CHECK_FALSE(run.says("sample_plugin"));
    CHECK(run.says("libgreeting.so.1"));
  }
}

TEST_CASE("a preloaded file is recognised after the variable was removed") {
  const auto run = sample::driver("sample_pie", {"unset", "LD_PRELOAD", "modules"},
                                  {"LD_PRELOAD=" + sample::file("plugins/sample_plugin.so")});
  CHECK(run.exit_code == 0);
  CHECK_FALSE(run.says("sample_plugin"));
}

TEST_CASE("a preloaded file that the program links as well stays") {
  const auto run = sample::driver("sample_pie", {"modules"},
                                  {"LD_PRELOAD=" + sample::file("libraries/libgreeting.so.1")});
  CHECK(run.lines("module library 'libgreeting.so.1'").size() == 1);
}

TEST_CASE("under valgrind a program has the files it has without") {
  const auto plain = sample::driver("sample_pie", {"modules"});
  const auto checked = sample::run({"valgrind", "-q", sample::file("sample_pie"), "modules"},
                                   {"LD_LIBRARY_PATH=" + sample::file("libraries")});
  if (checked.exit_code == 127) {
    WARN("skipped: there is no valgrind");
    return;
  }
  CHECK(checked.output == plain.output);
}

TEST_CASE("a program run as an argument of the loader knows its loader") {
  const auto run =
      sample::run({"/lib64/ld-linux-x86-64.so.2", sample::file("sample_pie"), "modules"},
                  {"LD_LIBRARY_PATH=" + sample::file("libraries")});
  if (run.exit_code == 127) {
    WARN("skipped: no loader at its x86-64 place");
    return;
  }
  CHECK(run.output == sample::driver("sample_pie", {"modules"}).output);
}
