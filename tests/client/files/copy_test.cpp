#include <fcntl.h>
#include <knee/files.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>

#include "client/files/copy.h"
#include "client/files/partial_file.h"
#include "common/base/unique_fd.h"
#include "tests/sample_files.h"

using Catch::Contains;
using knee::Error;
using knee::Files;
using knee::FileStatus;
using knee::test::noise;
using knee::test::put;
namespace fs = std::filesystem;

namespace {

/// Both ends of these copies are in this process, where they are the same classes as on a slave.
struct Folder {
  Folder() {
    std::string name = "/tmp/knee-files-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return path / name; }
  fs::path path;
};

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string failure_of(const std::string& from, const std::string& to,
                       const knee::CopyOptions& options = {}) {
  try {
    Files::here().copy(from, Files::here(), to, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "(none)";
}

struct Stop {};

/// A copy that is interrupted when so much has come.
void copy_until(const std::string& from, const std::string& to, std::uint64_t much) {
  CHECK_THROWS_AS(Files::here().copy(from, Files::here(), to,
                                     {.progress =
                                          [much](const knee::CopyProgress& progress) {
                                            if (progress.done >= much) throw Stop();
                                          }}),
                  Stop);
}

constexpr std::size_t kMega = 1 << 20;

}  // namespace

TEST_CASE("a copy has the content and the permission bits of its source") {
  const Folder folder;
  const std::string content = noise(3 * kMega + 17);
  put(folder / "from", content);
  ::chmod((folder / "from").c_str(), 0751);
  const auto report = Files::here().copy(folder / "from", Files::here(), folder / "to");
  CHECK(content_of(folder / "to") == content);
  CHECK(Files::here().status(folder / "to")->mode == 0751);
  CHECK(report.files == 1);
  CHECK(report.bytes == content.size());
  CHECK(report.resumed == 0);
  CHECK(Files::here().list(folder.path).size() == 2);  // no part is left
}

TEST_CASE("an empty file is copied") {
  const Folder folder;
  put(folder / "from", "");
  Files::here().copy(folder / "from", Files::here(), folder / "to", {.sync = true});
  CHECK(Files::here().status(folder / "to")->size == 0);
}

TEST_CASE("a file whose size is not known before is copied whole") {
  const Folder folder;
  Files::here().copy("/proc/self/status", Files::here(), folder / "to");
  CHECK_THAT(content_of(folder / "to"), Contains("VmPeak"));
}

TEST_CASE("an interrupted copy is gone on with, and only the rest travels") {
  const Folder folder;
  const std::string content = noise(40 * kMega);
  put(folder / "from", content);
  copy_until(folder / "from", folder / "to", 10 * kMega);
  CHECK_FALSE(fs::exists(folder / "to"));
  const auto there = fs::file_size(folder / ".to.knee-part");
  CHECK(there >= 10 * kMega);
  std::uint64_t first = 0;
  const auto report = Files::here().copy(folder / "from", Files::here(), folder / "to",
                                         {.progress = [&](const knee::CopyProgress& progress) {
                                           if (first == 0) first = progress.done;
                                         }});
  CHECK(report.resumed == there);
  CHECK(report.bytes == content.size() - there);
  CHECK(first == there);
  CHECK(content_of(folder / "to") == content);
  CHECK_FALSE(fs::exists(folder / ".to.knee-part"));
}

TEST_CASE("what is left of another content is not gone on with") {
  const Folder folder;
  const std::string content = noise(8 * kMega);
  put(folder / "from", content);
  copy_until(folder / "from", folder / "to", 4 * kMega);
  SECTION("the source has changed in what is there") {
    std::string other = content;
    other[5000] ^= 1;
    put(folder / "from", other);
    const auto report = Files::here().copy(folder / "from", Files::here(), folder / "to");
    CHECK(report.resumed == 0);
    CHECK(content_of(folder / "to") == other);
  }
  SECTION("the source is shorter now") {
    put(folder / "from", content.substr(0, kMega));
    CHECK(Files::here().copy(folder / "from", Files::here(), folder / "to").resumed == 0);
    CHECK(content_of(folder / "to") == content.substr(0, kMega));
  }
  SECTION("the part was changed") {
    const auto part = folder / ".to.knee-part";
    const auto there = content_of(part);
    put(part, there.substr(0, there.size() - 1) + static_cast<char>(there.back() ^ 1));
    CHECK(Files::here().copy(folder / "from", Files::here(), folder / "to").resumed == 0);
    CHECK(content_of(folder / "to") == content);
  }
}

TEST_CASE("a source that is written to while it is copied makes the copy fail") {
  const Folder folder;
  put(folder / "from", noise(4 * kMega));
  put(folder / "to", "old");
  const auto failure = failure_of(
      folder / "from", folder / "to", {.progress = [&](const knee::CopyProgress& progress) {
        if (progress.done == 0)
          std::ofstream(folder / "from", std::ios::in | std::ios::out).write("X", 1);
      }});
  CHECK_THAT(failure, Contains("has changed while it was copied"));
  CHECK(content_of(folder / "to") == "old");
}

TEST_CASE("a part whose hash is not that of the source is no copy") {
  const Folder folder;
  knee::detail::PartialFile part(folder / "to");
  part.write("what came");
  CHECK_THROWS_WITH(part.finish(std::string(32, 'x'), 0644, false),
                    Contains("not what was sent") && Contains("copy it again"));
  CHECK(fs::is_empty(folder.path));
}

TEST_CASE("two copies to one target at a time are refused") {
  const Folder folder;
  put(folder / "from", "new");
  const knee::detail::PartialFile other(folder / "to");
  CHECK_THAT(failure_of(folder / "from", folder / "to"), Contains("another copy to it"));
}

TEST_CASE("a copy says what is wrong with its source or its target") {
  const Folder folder;
  put(folder / "from", "content");
  CHECK_THAT(failure_of(folder / "nothing", folder / "to"),
             Contains("nothing'") && Contains("no such file"));
  CHECK_THAT(failure_of(folder / "from", folder / "no/such/to"),
             Contains("there is no folder '" + (folder / "no/such") + "'"));
  CHECK_THAT(failure_of(folder / "from", folder / "from/to"), Contains("is not a folder"));
  CHECK_THAT(failure_of(folder.path, folder / "to"), Contains("it is a folder") && Contains("-r"));
  CHECK_THAT(failure_of(folder / "from", "/dev/null"), Contains("not a regular file"));
  CHECK_THAT(failure_of("/dev/null", folder / "to"), Contains("not a regular file"));
  CHECK_THAT(failure_of("/proc/self/mem", folder / "to"),
             Contains("cannot read '/proc/self/mem': Input/output error"));
  CHECK(Files::here().list(folder.path).size() == 1);
}

TEST_CASE("a part that cannot be written keeps what has come, and says so") {
  const Folder folder;
  put(folder / "from", noise(3 * kMega));
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit = before;
  limit.rlim_cur = 2 * kMega;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const auto failure = failure_of(folder / "from", folder / "to");
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  CHECK_THAT(failure,
             Contains("File too large") && Contains(".to.knee-part") && Contains("copy again"));
  CHECK(Files::here().copy(folder / "from", Files::here(), folder / "to").resumed == 2 * kMega);
}

TEST_CASE("a copy through a link replaces what it leads to, not the link") {
  const Folder folder;
  put(folder / "from", "new");
  put(folder / "real", "old");
  fs::create_symlink("real", folder / "link");
  Files::here().copy(folder / "from", Files::here(), folder / "link");
  CHECK(fs::is_symlink(folder / "link"));
  CHECK(content_of(folder / "real") == "new");
}

TEST_CASE("a copy to a folder goes into it") {
  const Folder folder;
  put(folder / "from", "content");
  fs::create_directory(folder / "to");
  Files::here().copy(folder / "from", Files::here(), folder / "to");
  CHECK(content_of(folder / "to/from") == "content");
}

TEST_CASE("a folder is copied with all that is in it, links as links, and pipes are left out") {
  const Folder folder;
  fs::create_directories(folder / "tree/deep/er");
  fs::create_directory(folder / "tree/empty");
  put(folder / "tree/one", "1");
  put(folder / "tree/deep/er/two", "2");
  put(folder / "tree/deep/odd\nname \\ '\"", "3");
  ::chmod((folder / "tree/one").c_str(), 0700);
  fs::create_symlink("deep/er/two", folder / "tree/link");
  REQUIRE(::mkfifo((folder / "tree/pipe").c_str(), 0600) == 0);
  const auto report =
      Files::here().copy(folder / "tree", Files::here(), folder / "copy", {.recursive = true});
  CHECK(report.files == 4);
  CHECK(report.left_out == std::vector<std::string>{folder / "tree/pipe"});
  CHECK(content_of(folder / "copy/deep/er/two") == "2");
  CHECK(content_of(folder / "copy/deep/odd\nname \\ '\"") == "3");
  CHECK(fs::read_symlink(folder / "copy/link") == "deep/er/two");
  CHECK(fs::is_directory(folder / "copy/empty"));
  CHECK((fs::status(folder / "copy/one").permissions() & fs::perms::owner_exec) != fs::perms::none);
  CHECK_FALSE(fs::exists(folder / "copy/pipe"));
  // Once more it goes into the folder that is there now; "." stands for what is in a folder.
  Files::here().copy(folder / "tree", Files::here(), folder / "copy", {.recursive = true});
  CHECK(content_of(folder / "copy/tree/one") == "1");
  Files::here().copy(folder / "tree/.", Files::here(), folder / "copy", {.recursive = true});
  CHECK(content_of(folder / "copy/deep/er/two") == "2");
}

TEST_CASE("a folder that is copied into itself ends") {
  const Folder folder;
  fs::create_directory(folder / "tree");
  put(folder / "tree/one", "1");
  Files::here().copy(folder / "tree", Files::here(), folder / "tree/in", {.recursive = true});
  CHECK(content_of(folder / "tree/in/one") == "1");
  CHECK_FALSE(fs::exists(folder / "tree/in/in"));
}

TEST_CASE("a file is listed, looked at, renamed and removed") {
  const Folder folder;
  const auto files = Files::here();
  put(folder / "b", "12345");
  fs::create_directory(folder / "a");
  fs::create_symlink("nowhere", folder / "c");
  const auto list = files.list(folder.path);
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "a");
  CHECK(list[0].type == FileStatus::Type::folder);
  CHECK(list[1].name == "b");
  CHECK(list[1].size == 5);
  CHECK(std::chrono::abs(std::chrono::system_clock::now() - list[1].modified) <
        std::chrono::minutes(10));
  CHECK(list[2].type == FileStatus::Type::link);
  CHECK(list[2].target == "nowhere");
  CHECK_FALSE(files.status(folder / "c"));  // it leads to nothing
  CHECK_FALSE(files.status(folder / "b/x"));
  CHECK(files.status(folder / "a/")->name == "a");
  files.rename(folder / "b", folder / "d");
  CHECK(files.status(folder / "d")->size == 5);
  files.remove(folder / "d");
  files.remove(folder / "c");
  CHECK(files.list(folder.path).size() == 1);
  files.make_folder(folder / "x/y/z");
  files.make_folder(folder / "x/y");
  CHECK(fs::is_directory(folder / "x/y/z"));
  CHECK_THROWS_WITH(files.remove(folder / "x"), Contains("not empty"));
  CHECK_THROWS_WITH(files.list(folder / "d"), Contains("cannot list '" + (folder / "d") + "'"));
  CHECK_THROWS_WITH(files.status(std::string("a\0b", 3)), Contains("zero bytes"));
}

TEST_CASE("a folder of many files is listed whole") {
  const Folder folder;
  for (int i = 0; i < 10'000; ++i)
    knee::UniqueFd(::open((folder / std::to_string(i)).c_str(), O_CREAT | O_WRONLY, 0600));
  CHECK(Files::here().list(folder.path).size() == 10'000);
}

TEST_CASE("an open file is read and written anywhere") {
  const Folder folder;
  const auto files = Files::here();
  files.write(folder / "file", "0123456789");
  CHECK(files.read(folder / "file") == "0123456789");
  const auto file = files.open(folder / "file", knee::OpenMode::update);
  CHECK(file.seekable());
  CHECK(file.read(3, 4) == "3456");
  CHECK(file.read(8, 100) == "89");
  CHECK(file.read(100, 1).empty());
  file.write(9, "xyz");
  CHECK(file.size() == 12);
  file.resize(2);
  file.sync();
  CHECK(files.read(folder / "file") == "01");
  file.close();
  CHECK_THROWS_WITH(file.read(0, 1), Contains("has been closed"));
  const auto log = files.open(folder / "file", knee::OpenMode::append);
  log.write(0, "end");
  CHECK(files.read(folder / "file") == "01end");
  const std::string large = noise(20 * kMega);
  files.write(folder / "file", large);
  CHECK(files.read(folder / "file") == large);
  CHECK_THROWS_WITH(
      files.open(folder / "nothing"),
      Contains("cannot open '" + (folder / "nothing") + "'") && Contains("No such file"));
  CHECK_THROWS_WITH(files.open(folder.path), Contains("directory"));
}

TEST_CASE("a disk that is full is a failure that says what to do") {
  const auto full = Files::here().open("/dev/full", knee::OpenMode::write);
  CHECK_THROWS_WITH(full.write(0, "x"), Contains("cannot write '/dev/full'") &&
                                            Contains("No space left") && Contains("make room"));
}

TEST_CASE("the part of a file with a very long name has a name that is not too long") {
  using knee::detail::PartialFile;
  CHECK(PartialFile::name_for("x") == ".x.knee-part");
  const auto one = PartialFile::name_for(std::string(254, 'x') + "1");
  const auto other = PartialFile::name_for(std::string(254, 'x') + "2");
  CHECK(one.size() == 255);
  CHECK(one != other);
}

TEST_CASE("paths are joined, and folders without a name give none") {
  using namespace knee::detail;
  CHECK(join("a", "b") == "a/b");
  CHECK(join("a/", "b") == "a/b");
  CHECK(join("", "b") == "b");
  CHECK(join("a", "") == "a");
  CHECK(name_in_folder("a/b") == "b");
  CHECK(name_in_folder("a/b/") == "b");
  CHECK(name_in_folder("b") == "b");
  for (const char* none : {"", ".", "..", "a/.", "a/..", "/"}) CHECK(name_in_folder(none) == "");
}
