#include "common/program/program_file.h"

#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <catch2/catch.hpp>

#include "common/program/digest_cache.h"
#include "sample.h"

namespace {

namespace fs = std::filesystem;
using knee::program::describe_program;
using knee::program::DigestCache;
using knee::program::FileRole;
using knee::program::index_of_module;
using knee::program::ProgramFile;

// A driver with libraries of its own in a folder of the test, to be replaced under it.
struct Replaceable {
  sample::Folder folder;

  explicit Replaceable(const std::string& driver = "sample_pie",
                       const std::string& library = "libraries/libgreeting.so.1") {
    fs::create_directory(folder / "blobs");
    fs::copy_file(sample::file(driver), folder / "driver");
    fs::copy_file(sample::file(library), folder / "libgreeting.so.1");
  }

  sample::Run run(std::vector<std::string> commands,
                  const std::vector<std::string>& prefix = {}) const {
    commands.insert(commands.begin(), folder / "driver");
    commands.insert(commands.begin(), prefix.begin(), prefix.end());
    commands.insert(commands.end(), {"pack", folder / "blobs", folder / "program"});
    return sample::run(commands, {"LD_LIBRARY_PATH=" + folder.path(),
                                  "XDG_CACHE_HOME=" + folder.path() + "/cache"});
  }
};

std::vector<ProgramFile> describe(const std::vector<std::string>& ship) {
  DigestCache no_cache("");
  return describe_program(ship, no_cache);
}

}  // namespace

TEST_CASE("this program consists of an executable, its loader, and libraries, all hashed") {
  const auto files = describe({});
  REQUIRE(files.size() > 2);
  CHECK(files[0].role == FileRole::kExecutable);
  CHECK(files[0].name == "program_test");
  CHECK(files[1].role == FileRole::kLoader);
  for (const ProgramFile& file : files) {
    INFO(file.path);
    CHECK(file.digest == knee::digest_of_file(file.fd.get()));
    struct stat status;
    REQUIRE(::fstat(file.fd.get(), &status) == 0);
    CHECK(file.size == static_cast<std::uint64_t>(status.st_size));
  }
}

TEST_CASE("modules are found in the list of files by name") {
  const auto files = describe({});
  CHECK(index_of_module(files, "") == 0);
  const auto libc = index_of_module(files, "libc.so.6");
  REQUIRE(libc < files.size());
  CHECK(files[libc].name == "libc.so.6");
  CHECK(index_of_module(files, "program_test") == files.size());
  CHECK(index_of_module(files, "libnone.so") == files.size());
}

TEST_CASE("a file to ship travels under its base name, and once") {
  const std::string plugin = sample::file("plugins/sample_plugin.so");
  const auto files = describe({plugin, plugin});
  CHECK(files.back().role == FileRole::kExtra);
  CHECK(files.back().name == "sample_plugin.so");
  CHECK(files.size() == describe({}).size() + 1);
}

TEST_CASE("data can be shipped as well") {
  const sample::Folder folder;
  std::ofstream(folder / "table.txt") << "1 2 3";
  const auto files = describe({folder / "table.txt"});
  CHECK(files.back().name == "table.txt");
  CHECK(files.back().size == 5);
}

TEST_CASE("what cannot be shipped is refused by name") {
  const sample::Folder folder;
  CHECK_THROWS_WITH(describe({folder / "absent.so"}),
                    Catch::Contains("absent.so") && Catch::Contains("No such file"));
  CHECK_THROWS_WITH(describe({folder.path()}),
                    Catch::Contains(folder.path()) && Catch::Contains("not a regular file"));
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK_THROWS_WITH(describe({folder / "fifo"}), Catch::Contains("not a regular file"));
}

TEST_CASE("two different files of one name are refused") {
  const sample::Folder folder;
  fs::create_directory(folder / "a");
  fs::create_directory(folder / "b");
  std::ofstream(folder / "a/table") << "1";
  std::ofstream(folder / "b/table") << "2";
  CHECK_THROWS_WITH(describe({folder / "a/table", folder / "b/table"}),
                    Catch::Contains(folder / "a/table") && Catch::Contains(folder / "b/table") &&
                        Catch::Contains("rename one"));
}

TEST_CASE("a program whose files are as they were loaded is described") {
  const Replaceable program;
  const auto run = program.run({});
  INFO(run.output);
  CHECK(run.exit_code == 0);
  CHECK(run.lines("file executable driver").size() == 1);
  CHECK(run.lines("file loader ld-linux").size() == 1);
  CHECK(run.lines("file library libgreeting.so.1").size() == 1);
}

TEST_CASE("a library that was rebuilt while the program runs is refused by name") {
  const Replaceable program;
  const auto run = program.run(
      {"replace", program.folder / "libgreeting.so.1", sample::file("wrong/libgreeting.so.1")});
  CHECK(run.exit_code == 1);
  CHECK(run.says("libgreeting.so.1': it was rebuilt while the program runs; restart"));
  CHECK_FALSE(fs::exists(program.folder / "program"));
}

TEST_CASE("a rebuilt library without build id is refused by its content") {
  const Replaceable program("sample_no_id", "no_id_shipped/libgreeting.so.1");
  const auto same = program.run({});
  INFO(same.output);
  CHECK(same.exit_code == 0);
  const auto run = program.run({"replace", program.folder / "libgreeting.so.1",
                                sample::file("no_id_wrong/libgreeting.so.1")});
  CHECK(run.says("libgreeting.so.1': it was rebuilt while the program runs; restart"));
}

TEST_CASE("a library that a build is just writing is refused") {
  const Replaceable program;
  std::ofstream(program.folder / "half") << "\x7f"
                                            "ELF";
  const auto run =
      program.run({"replace", program.folder / "libgreeting.so.1", program.folder / "half"});
  CHECK(run.says("libgreeting.so.1': it was rebuilt while the program runs; restart"));
}

TEST_CASE("a library that is gone is refused by name") {
  const Replaceable program;
  const auto run = program.run({"run", "rm " + program.folder / "libgreeting.so.1"});
  CHECK(run.exit_code == 1);
  CHECK(run.says("libgreeting.so.1' to ship it with the program: No such file"));
}

TEST_CASE("an executable that was rebuilt while it runs travels as it was started") {
  for (const char* driver : {"sample_pie", "sample_no_id"}) {
    const Replaceable program(driver);
    const auto run =
        program.run({"replace", program.folder / "driver", sample::file("sample_tiny")});
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(run.lines("file executable driver").size() == 1);
    CHECK(fs::file_size(program.folder / "program/bin/driver") ==
          fs::file_size(sample::file(driver)));
  }
}

TEST_CASE("a library found by a relative path is found after a change of folder") {
  const Replaceable program;
  const auto run = sample::run({"sh", "-c",
                                "cd " + program.folder.path() + " && LD_LIBRARY_PATH=. ./driver" +
                                    " chdir / pack " + program.folder / "blobs" + " " +
                                    program.folder / "program"});
  INFO(run.output);
  CHECK(run.exit_code == 0);
  CHECK(run.lines("file library libgreeting.so.1").size() == 1);
}

TEST_CASE("a library whose own name is another than that of its file travels under both") {
  const Replaceable program("sample_pie", "other_name/libgreeting.so.1");
  const auto run = program.run({});
  INFO(run.output);
  CHECK(run.lines("file library libgreeting.so.1").size() == 1);
  CHECK(run.lines("file library libother.so.1").size() == 1);
}

TEST_CASE("a library that others need by two names travels under both") {
  const sample::Folder folder;
  const auto packed = sample::pack("sample_two_names", folder);
  INFO(packed.run.output);
  CHECK(packed.run.lines("file library libfirst.so").size() == 1);
  CHECK(packed.run.lines("file library libsecond.so").size() == 1);
  CHECK(fs::equivalent(folder / "program/lib/libfirst.so", folder / "program/lib/libsecond.so"));
  const auto modules = packed.start({"modules"});
  CHECK(modules.output == sample::driver("sample_two_names", {"modules"}).output);
  CHECK_FALSE(modules.says("libsecond"));
}

TEST_CASE("the description is the same under valgrind and as an argument of the loader") {
  const Replaceable plain;
  const auto expected = plain.run({}).lines("file ");
  const Replaceable by_loader;
  const auto loader = by_loader.run({}, {"/lib64/ld-linux-x86-64.so.2"});
  if (loader.exit_code == 127)
    WARN("skipped: no loader at its x86-64 place");
  else
    CHECK(loader.lines("file ") == expected);
  const Replaceable checked;
  const auto valgrind = checked.run({}, {"valgrind", "-q"});
  if (valgrind.exit_code == 127)
    WARN("skipped: there is no valgrind");
  else
    CHECK(valgrind.lines("file ") == expected);
}
