#include "common/program/launch.h"

#include <filesystem>
#include <fstream>
#include <set>

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "common/program/elf_file.h"
#include "sample.h"

namespace {

namespace fs = std::filesystem;
using knee::program::FileRole;
using knee::program::Launch;
using knee::program::materialize;
using knee::program::ShippedFile;

std::vector<std::string> all_drivers() {
  auto names = sample::dynamic_drivers();
  for (const std::string& name : sample::static_drivers()) names.push_back(name);
  return names;
}

ino_t inode(const std::string& path) {
  struct stat status;
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_ino;
}

// Puts another file in the place of one that programs may have mapped, and the old one back.
class Replacement {
 public:
  Replacement(std::string place, const std::string& content) : place_(std::move(place)) {
    std::error_code ignored;
    fs::create_directories(fs::path(place_).parent_path());
    fs::rename(place_, place_ + ".kept", ignored);
    fs::copy_file(content, place_);
  }
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;
  ~Replacement() {
    std::error_code ignored;
    fs::remove(place_, ignored);
    fs::rename(place_ + ".kept", place_, ignored);
  }

 private:
  std::string place_;
};

bool may_replace_samples() {
  const bool may = ::access(SAMPLES, W_OK) == 0;
  if (!may) WARN("skipped: the build folder is somebody else's");
  return may;
}

// The least that can be materialized: a program and its loader.
struct Tiny {
  sample::Folder folder;
  std::vector<ShippedFile> files;

  Tiny() {
    fs::copy_file(sample::file("sample_tiny"), folder / "tiny");
    fs::copy_file(sample::file("libraries/libgreeting.so.1"), folder / "loader");
    fs::permissions(folder / "tiny", fs::perms(0644));
    fs::permissions(folder / "loader", fs::perms(0644));
    files = {{FileRole::kExecutable, "tiny", folder / "tiny"},
             {FileRole::kLoader, "ld.so", folder / "loader"}};
  }

  Launch materialize() const { return knee::program::materialize(files, folder / "target"); }
};

// A root of its own for one program: nothing in it but /proc and what is put there.
struct Root {
  sample::Folder folder;

  Root() {
    fs::create_directory(folder / "proc");
    fs::permissions(folder.path(), fs::perms(0755));
    fs::copy_file(sample::file("sample_start"), folder / "start");
  }

  static bool is_permitted() {
    std::vector<std::string> command{"unshare", "-m", "true"};
    if (::geteuid() != 0) command.insert(command.begin() + 1, "-r");
    return sample::run(command).exit_code == 0;
  }

  // setpriv is not in the new root: chroot's own option changes the user.
  sample::Run start(const std::vector<std::string>& arguments) const {
    const std::string user = ::geteuid() == 0 ? "--userspec=65534:65534 " : "";
    std::vector<std::string> command{
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount --rbind /proc \"$0\"/proc && exec chroot " + user + "\"$0\" /start \"$@\"",
        folder.path()};
    if (::geteuid() != 0) command.insert(command.begin() + 1, "-r");
    command.insert(command.end(), arguments.begin(), arguments.end());
    return sample::run(command);
  }
};

}  // namespace

TEST_CASE("a materialized program is itself to itself") {
  for (const std::string& name : all_drivers()) {
    const sample::Folder folder;
    const auto packed = sample::pack(name, folder);
    INFO(name << '\n' << packed.run.output);
    CHECK(packed.run.exit_code == 0);
    CHECK(packed.run.value("through") == "direct");
    CHECK(packed.run.value("argv0") == name);
    const auto run = packed.start({"report"});
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(run.value("exe") == folder / ("program/bin/" + name));
    CHECK(run.value("comm") == name.substr(0, 15));
    CHECK(run.value("argv0") == "given-argv0");
    CHECK(run.value("greeting") == "shipped");
  }
}

TEST_CASE("a materialized program runs for an ordinary user in a root without libraries") {
  if (!Root::is_permitted()) {
    WARN("skipped: this user may not make a mount namespace");
    return;
  }
  for (const std::string& name : all_drivers()) {
    const Root root;
    const auto packed = sample::pack(name, root.folder);
    INFO(name << '\n' << packed.run.output);
    const auto run =
        root.start(packed.command({"report", "offsets"}, "cloexec", root.folder.path()));
    INFO(run.output);
    CHECK(run.exit_code == 0);
    CHECK(run.value("exe") == "/program/bin/" + name);
    CHECK(run.value("comm") == name.substr(0, 15));
    CHECK(run.value("greeting") == "shipped");
    if (::geteuid() == 0) CHECK(run.value("uid") == "65534");
    CHECK(run.lines("offset ") == sample::driver(name, {"offsets"}).lines("offset "));
  }
}

TEST_CASE("a program starts itself again if its loader stays open") {
  for (const std::string& name : sample::dynamic_drivers()) {
    const sample::Folder folder;
    const auto packed = sample::pack(name, folder);
    const auto run = packed.start({"reexec", "reexec", "report"}, {}, "keep");
    INFO(name << '\n' << run.output);
    if (name == "sample_lld") {  // as documented: lld leaves no room for the path
      CHECK(run.says("libgreeting.so.1: cannot open"));
      continue;
    }
    CHECK(run.exit_code == 0);
    CHECK(run.value("exe") == folder / ("program/bin/" + name));
    CHECK(run.value("greeting") == "shipped");
    CHECK(run.value("library path") != folder / "program/lib");
    // As documented: without the descriptor the copy has no loader.
    CHECK(packed.start({"reexec", "report"}).says("reexec: No such file or directory"));
  }
}

TEST_CASE("a program that starts itself again does not take wrong libraries") {
  if (!may_replace_samples()) return;
  const sample::Folder folder;
  const auto packed = sample::pack("sample_rpath", folder);
  const Replacement wrong(sample::file("at_rpath/libgreeting.so.1"),
                          sample::file("wrong/libgreeting.so.1"));
  const auto run = packed.start({"reexec", "report"}, {}, "keep");
  INFO(run.output);
  CHECK(run.value("greeting") == "shipped");
}

TEST_CASE("a program starts itself again where there are no libraries") {
  if (!Root::is_permitted()) {
    WARN("skipped: this user may not make a mount namespace");
    return;
  }
  for (const char* name : {"sample_no_pie", "sample_rpath", "sample_slash", "sample_two_names"}) {
    const Root root;
    const auto packed = sample::pack(name, root.folder);
    const auto run = root.start(packed.command({"reexec", "report"}, "keep", root.folder.path()));
    INFO(name << '\n' << packed.run.output << run.output);
    CHECK(run.exit_code == 0);
    CHECK(run.value("greeting") == "shipped");
  }
}

TEST_CASE("a static program starts itself again without more ado") {
  for (const std::string& name : sample::static_drivers()) {
    const sample::Folder folder;
    const auto run = sample::pack(name, folder).start({"reexec", "report"});
    CHECK(run.value("exe") == folder / ("program/bin/" + name));
  }
}

TEST_CASE("programs that a started program starts do not see the shipped libraries") {
  const sample::Folder folder;
  const auto run = sample::pack("sample_pie", folder).start({"run", "echo path=$LD_LIBRARY_PATH"});
  CHECK(run.exit_code == 0);
  CHECK_FALSE(run.says(folder.path()));
}

TEST_CASE("a wrong library at the program's RPATH is not taken") {
  if (!may_replace_samples()) return;
  const sample::Folder folder;
  const auto packed = sample::pack("sample_rpath", folder);
  INFO(packed.run.output);
  CHECK(packed.run.exit_code == 0);
  const Replacement wrong(sample::file("at_rpath/libgreeting.so.1"),
                          sample::file("wrong/libgreeting.so.1"));
  // It does wait there: the program as it was linked takes it.
  CHECK(sample::driver("sample_rpath", {"report"}).value("greeting") == "wrong");
  CHECK(packed.start({"report"}).value("greeting") == "shipped");
}

TEST_CASE("a wrong library at the path that the program itself names is not taken") {
  if (!may_replace_samples()) return;
  const sample::Folder folder;
  const auto packed = sample::pack("sample_slash", folder);
  INFO(packed.run.output);
  CHECK(packed.run.exit_code == 0);
  const Replacement wrong(sample::file("at_slash/libslash.so"),
                          sample::file("slash_wrong/libslash.so"));
  CHECK(sample::driver("sample_slash", {"report"}).value("greeting") == "wrong");
  CHECK(packed.start({"report"}).value("greeting") == "shipped");
}

TEST_CASE("a shipped plugin is found by its name") {
  const sample::Folder folder;
  const auto packed =
      sample::pack("sample_pie", folder, {"ship", sample::file("plugins/sample_plugin.so")});
  const auto run = packed.start({"plugin", "sample_plugin.so"});
  INFO(run.output);
  CHECK(run.exit_code == 0);
  CHECK(run.says("plugin answers"));
  CHECK(run.says("offset plugin sample_plugin.so "));
}

TEST_CASE("a program with no room for our interpreter's path runs through its loader") {
  const sample::Folder folder;
  fs::create_directory(folder / "blobs");
  const auto driver = sample::run(
      {"/lib64/ld-linux-x86-64.so.2", sample::file("sample_short_interpreter"), "pack",
       folder / "blobs", folder / "program"},
      {"LD_LIBRARY_PATH=" + sample::file("libraries"), "XDG_CACHE_HOME=/nonexistent/cache"});
  if (driver.exit_code == 127) {
    WARN("skipped: no loader at its x86-64 place");
    return;
  }
  const sample::Packed packed{driver};
  INFO(packed.run.output);
  REQUIRE(packed.run.value("through") == "loader");
  const auto run = packed.start({"report", "offsets"});
  INFO(run.output);
  CHECK(run.exit_code == 0);
  CHECK(run.value("greeting") == "shipped");
  CHECK(run.value("argv0") == folder / "program/bin/sample_short_interpreter");
  CHECK(run.lines("offset ").size() == 8);
}

TEST_CASE("blobs are copied and never touched") {
  const sample::Folder folder;
  const auto packed = sample::pack("sample_rpath", folder);
  std::set<ino_t> blobs;
  for (const auto& entry : fs::directory_iterator(folder / "blobs")) {
    blobs.insert(inode(entry.path()));
    const auto run = sample::run({"sha256sum", entry.path()});
    CHECK(run.output.substr(0, 64) == entry.path().filename());
    CHECK((fs::status(entry).permissions() & fs::perms(0777)) == fs::perms(0644));
  }
  CHECK(blobs.count(inode(folder / "program/lib/libc.so.6")) == 0);
  CHECK(blobs.count(inode(folder / "program/lib/libouter.so")) == 0);
  CHECK(blobs.count(inode(folder / "program/bin/sample_rpath")) == 0);
}

TEST_CASE("a static program needs neither loader nor library folder") {
  const sample::Folder folder;
  fs::copy_file(sample::file("sample_static"), folder / "blob");
  fs::permissions(folder / "blob", fs::perms(0755));
  const Launch launch =
      materialize({{FileRole::kExecutable, "driver", folder / "blob"}}, folder / "program");
  CHECK(launch.interpreter.empty());
  CHECK(launch.library_folder.empty());
}

TEST_CASE("a native program runs as it is, with the loader of the node") {
  const sample::Folder folder;
  // Some program of this machine's own.
  const std::string echo = fs::canonical("/bin/echo");
  const auto launch = materialize({{FileRole::kNative, "native", echo}}, folder / "target");
  CHECK(launch.interpreter.empty());
  CHECK(launch.library_folder.empty());
  CHECK_FALSE(launch.through_loader);
  const auto run = sample::run({launch.command(), "runs"});
  CHECK(run.exit_code == 0);
  CHECK(run.says("runs"));
  CHECK_THROWS(materialize({{FileRole::kNative, "one", echo}, {FileRole::kExecutable, "two", echo}},
                           folder / "other"));
}

TEST_CASE("names of one blob are one file to the loader") {
  Tiny tiny;
  tiny.files.insert(tiny.files.begin(), {FileRole::kLibrary, "other.so", tiny.folder / "loader"});
  const Launch launch = tiny.materialize();
  CHECK(inode(launch.library_folder + "/other.so") == inode(launch.interpreter));
  CHECK(::access(launch.interpreter.c_str(), X_OK) == 0);
}

TEST_CASE("the second session of a program finds it materialized") {
  const Tiny tiny;
  const Launch first = tiny.materialize();
  const auto made = inode(first.executable);
  const Launch second = tiny.materialize();
  CHECK(second.executable == first.executable);
  CHECK(second.interpreter == first.interpreter);
  CHECK(inode(second.executable) == made);
}

TEST_CASE("sessions that materialize one program at once share one whole folder") {
  const Tiny tiny;
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const Launch launch = tiny.materialize();
        ::_exit(fs::exists(launch.executable) && fs::exists(launch.interpreter) ? 0 : 1);
      } catch (...) {
        ::_exit(2);
      }
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  std::size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(tiny.folder.path())) {
    CHECK(entry.path().string().find(".new-") == std::string::npos);
    ++entries;
  }
  CHECK(entries == 3);
}

TEST_CASE("a program that cannot be materialized leaves nothing behind") {
  Tiny tiny;
  tiny.files.push_back({FileRole::kLibrary, "lib.so", tiny.folder / "absent"});
  CHECK_THROWS_WITH(tiny.materialize(),
                    Catch::Contains("lib.so") && Catch::Contains("No such file"));
  for (const auto& entry : fs::directory_iterator(tiny.folder.path()))
    CHECK(entry.path().filename().string().find("target") == std::string::npos);
}

TEST_CASE("names that would leave the folder are refused") {
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../x"),
        std::string("/etc/x"), std::string("a\0b", 3), std::string(300, 'x')}) {
    Tiny tiny;
    tiny.files[0].name = name;
    CHECK_THROWS_WITH(tiny.materialize(), Catch::Contains("cannot be named"));
    Tiny other;
    other.files.push_back({FileRole::kExtra, name, other.folder / "tiny"});
    CHECK_THROWS_WITH(other.materialize(), Catch::Contains("cannot be named"));
  }
}

TEST_CASE("a list of files that makes no program is refused") {
  Tiny two;
  two.files.push_back({FileRole::kExecutable, "second", two.folder / "tiny"});
  CHECK_THROWS_WITH(two.materialize(), Catch::Contains("two executables"));
  Tiny none;
  none.files.erase(none.files.begin());
  CHECK_THROWS_WITH(none.materialize(), Catch::Contains("without an executable"));
  Tiny no_loader;
  no_loader.files.pop_back();
  CHECK_THROWS_WITH(no_loader.materialize(), Catch::Contains("'tiny': it needs the loader"));
  Tiny same_names;
  same_names.files.push_back({FileRole::kLibrary, "ld.so", same_names.folder / "tiny"});
  CHECK_THROWS_WITH(same_names.materialize(), Catch::Contains("two files named 'ld.so'"));
}

TEST_CASE("a script as executable is refused in words") {
  const Tiny tiny;
  std::ofstream(tiny.folder / "tiny") << "#!/bin/sh\n";
  CHECK_THROWS_WITH(tiny.materialize(), Catch::Contains("'tiny' is a script"));
}

TEST_CASE("folders that LD_LIBRARY_PATH cannot name are refused") {
  const Tiny tiny;
  for (const char* name : {"a:b", "a;b", "a$b"})
    CHECK_THROWS_WITH(materialize(tiny.files, tiny.folder / name),
                      Catch::Contains("another folder"));
  CHECK_THROWS_WITH(materialize(tiny.files, "relative"), Catch::Contains("not an absolute path"));
}

TEST_CASE("a file system mounted noexec is named as the reason") {
  const Tiny tiny;
  fs::create_directory(tiny.folder / "mounted");
  enum { kSaid, kNotSaid, kNotPermitted };
  const pid_t child = ::fork();
  if (child == 0) {
    const int namespaces = CLONE_NEWNS | (::geteuid() == 0 ? 0 : CLONE_NEWUSER);
    if (::unshare(namespaces) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", (tiny.folder / "mounted").c_str(), "tmpfs", MS_NOEXEC, nullptr) != 0)
      ::_exit(kNotPermitted);
    try {
      materialize(tiny.files, tiny.folder / "mounted/target");
    } catch (const std::exception& error) {
      ::_exit(std::string(error.what()).find("mounted noexec") != std::string::npos ? kSaid
                                                                                    : kNotSaid);
    }
    ::_exit(kNotSaid);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kNotPermitted)
    WARN("skipped: this user may not mount");
  else
    CHECK(WEXITSTATUS(status) == kSaid);
}

TEST_CASE("shipped data lies beside the libraries as it is") {
  Tiny tiny;
  std::ofstream(tiny.folder / "table") << "1 2 3";
  tiny.files.push_back({FileRole::kExtra, "table.txt", tiny.folder / "table"});
  const Launch launch = tiny.materialize();
  std::ifstream file(launch.library_folder + "/table.txt");
  std::string line;
  std::getline(file, line);
  CHECK(line == "1 2 3");
}

TEST_CASE("blobs on another file system are copied too") {
  struct stat here, there;
  const Tiny tiny;
  if (::stat("/dev/shm", &there) != 0 || ::stat(tiny.folder.path().c_str(), &here) != 0 ||
      here.st_dev == there.st_dev || ::access("/dev/shm", W_OK) != 0) {
    WARN("skipped: no second file system to write to");
    return;
  }
  const std::string blob = "/dev/shm/knee-test-" + std::to_string(::getpid());
  fs::copy_file(sample::file("libraries/libgreeting.so.1"), blob);
  auto files = tiny.files;
  files.push_back({FileRole::kLibrary, "lib.so", blob});
  const Launch launch = materialize(files, tiny.folder / "target");
  CHECK(fs::file_size(launch.library_folder + "/lib.so") == fs::file_size(blob));
  fs::remove(blob);
}
