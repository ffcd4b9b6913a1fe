#include "slave/store/store_folder.h"

#include <catch2/catch.hpp>

#include "slave/store/default_store.h"
#include "store_fixture.h"

using namespace knee::slave;
using namespace knee::slave::test;
using Catch::Matchers::Contains;

namespace {

constexpr uid_t kNobody = 65534;

std::string failure_to_open(const fs::path& folder) {
  return failure_of([&] { BlobStore store(folder, kRoomy); });
}

}  // namespace

TEST_CASE("a store's folder is created for its owner alone, parents too") {
  TempFolder temp;
  BlobStore store(temp / "cache/knee/store/", kRoomy);
  for (const char* name : {"cache", "cache/knee", "cache/knee/store", "cache/knee/store/blobs"}) {
    struct stat status;
    REQUIRE(stat((temp / name).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == 0700);
  }
}

TEST_CASE("a store's folder that is a symbolic link is refused") {
  TempFolder temp;
  fs::create_directory(temp / "real");
  fs::create_directory_symlink(temp / "real", temp / "link");
  CHECK_THAT(failure_to_open(temp / "link"), Contains("symbolic link") && Contains("--store"));
  CHECK_THAT(failure_to_open(temp / "link/"), Contains("symbolic link"));
  CHECK(fs::is_empty(temp / "real"));
}

TEST_CASE("a store's folder that is a file is refused") {
  TempFolder temp;
  std::ofstream(temp / "file") << "x";
  CHECK_THAT(failure_to_open(temp / "file"), Contains("not a folder"));
  CHECK_THAT(failure_to_open(temp / "file/store"), Contains("Not a directory"));
}

TEST_CASE("a store's folder that others may write to is refused") {
  TempFolder temp;
  const mode_t mode = GENERATE(0770, 0707, 01777);
  fs::create_directory(temp / "store");
  REQUIRE(chmod((temp / "store").c_str(), mode) == 0);
  CHECK_THAT(failure_to_open(temp / "store"), Contains("other users may write"));
}

TEST_CASE("a store's folder that belongs to somebody else is refused") {
  if (geteuid() != 0) {
    WARN("SKIPPED: only root can give a folder away");
    return;
  }
  TempFolder temp;
  fs::create_directory(temp / "store");
  REQUIRE(chown((temp / "store").c_str(), kNobody, kNobody) == 0);
  CHECK_THAT(failure_to_open(temp / "store"), Contains("belongs to user id 65534, not to 0"));
}

TEST_CASE("a store's folder that cannot be written is a clear error") {
  TempFolder temp;
  fs::create_directory(temp / "store");
  const uid_t user = geteuid() == 0 ? kNobody : geteuid();
  if (geteuid() == 0) REQUIRE(chown((temp / "store").c_str(), user, user) == 0);
  REQUIRE(chmod((temp / "store").c_str(), 0500) == 0);
  // Nothing is unwritable for root, so the child is somebody else.
  const pid_t child = start_child([&] {
    if (geteuid() == 0 && setresuid(user, user, user) != 0) return 1;
    for (const char* name : {"store", "store/new"}) {
      const std::string text = failure_to_open(temp / name);
      if (text.find("Permission denied") == text.npos || text.find("--store") == text.npos)
        return 2;
    }
    return 0;
  });
  CHECK(wait_for(child) == 0);
  chmod((temp / "store").c_str(), 0700);
}

TEST_CASE("a file in the store's folder that the store did not make is left alone") {
  TempFolder temp;
  { BlobStore store(temp / "store", kBlock); }
  for (const char* name : {"store/README", "store/blobs/README", "store/run/README"})
    std::ofstream(temp / name) << "mine";
  BlobStore store(temp / "store", kBlock);
  put(store, "a");
  put(store, "b");
  CHECK(content_of(temp / "store/README") == "mine");
  CHECK(content_of(temp / "store/blobs/README") == "mine");
  CHECK(content_of(temp / "store/run/README") == "mine");
}

TEST_CASE("the default folder follows XDG_CACHE_HOME, then HOME, then the user id") {
  TempFolder temp;
  const std::string home = temp.path().string();
  CHECK(default_store_folder("/cache", home.c_str(), 7) == "/cache/knee/store");
  CHECK(default_store_folder(nullptr, home.c_str(), 7) == home + "/.cache/knee/store");
  CHECK(default_store_folder("not/absolute", home.c_str(), 7) == home + "/.cache/knee/store");
  CHECK(default_store_folder("", (temp / "none").c_str(), 7) == "/var/tmp/knee-7");
  CHECK(default_store_folder(nullptr, nullptr, 7) == "/var/tmp/knee-7");
}

TEST_CASE("the default size is at most 10 GiB and known before the folder exists") {
  TempFolder temp;
  const std::uint64_t size = default_store_size(temp / "not/yet/there");
  CHECK(size > 0);
  CHECK(size <= std::uint64_t{10} << 30);
  CHECK(size == default_store_size(temp.path()));
}
