// What several processes do to one store: share it, die in it, fill the disk below it.

#include <csignal>
#include <optional>
#include <vector>

#include <sched.h>
#include <sys/mount.h>
#include <catch2/catch.hpp>

#include "store_fixture.h"

using namespace knee;
using namespace knee::slave;
using namespace knee::slave::test;
using Catch::Matchers::Contains;

namespace {

std::size_t folders_in(const fs::path& path) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(path), fs::directory_iterator()));
}

void write_text(const char* path, const std::string& text) {
  std::ofstream(path) << text;
}

/// Lets this process mount, as root or as an ordinary user where the kernel allows that.
bool enter_own_mounts() {
  if (unshare(CLONE_NEWNS) == 0) return true;
  const std::string user = std::to_string(geteuid());
  const std::string group = std::to_string(getegid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  write_text("/proc/self/uid_map", user + ' ' + user + " 1");
  write_text("/proc/self/setgroups", "deny");
  write_text("/proc/self/gid_map", group + ' ' + group + " 1");
  return true;
}

/// Mounts a file system of one MiB that this process alone sees.
bool mount_small_disk(const fs::path& where) {
  return enter_own_mounts() && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", where.c_str(), "tmpfs", 0, "size=1m,mode=0700") == 0;
}

constexpr int kNotPermitted = 77;

}  // namespace

TEST_CASE("a blob that one process put is there for another without hashing") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const pid_t child = start_child([&] {
    BlobStore own(temp / "store", kRoomy);
    put(own, "shared");
    return 0;
  });
  REQUIRE(wait_for(child) == 0);
  CHECK(store.pin(digest_of_text("shared")));
  CHECK(store.statistics().rehashed == 0);
}

TEST_CASE("processes that put, pin and evict the same few blobs at once never see a bad one") {
  TempFolder temp;
  std::vector<pid_t> children;
  for (int c = 0; c < 4; ++c)
    children.push_back(start_child([&] {
      BlobStore store(temp / "store", 8 * kBlock);
      for (int i = 0; i < 200; ++i) {
        const std::string text = "blob " + std::to_string((i * 7 + c) % 12);
        auto pin = store.pin(digest_of_text(text));
        const BlobPin held = pin ? std::move(*pin) : put(store, text);
        if (content_of(held.path()) != text) return 1;
      }
      return store.statistics().rehashed == 0 ? 0 : 2;
    }));
  for (const pid_t child : children) CHECK(wait_for(child) == 0);
  BlobStore store(temp / "store", 8 * kBlock);
  CHECK(store.statistics().bytes <= 8 * kBlock);
  CHECK(folders_in(temp / "store/run") == 1);
}

TEST_CASE("a pin protects from the eviction of another process, until its process dies") {
  TempFolder temp;
  Gate pinned;
  const pid_t child = start_child([&] {
    auto* store = new BlobStore(temp / "store", kRoomy);  // never destroyed: this process is killed
    auto* pin = new BlobPin(put(*store, "a"));
    pinned.open();
    pause();
    return pin->path().empty() ? 1 : 0;
  });
  pinned.wait();
  BlobStore store(temp / "store", kBlock);
  CHECK_THROWS(store.evict(kBlock));
  CHECK_FALSE(lacks(store, digest_of_text("a")));
  kill(child, SIGKILL);
  CHECK(wait_for(child) == -SIGKILL);
  CHECK(store.evict(kBlock).entries == 1);
  CHECK(lacks(store, digest_of_text("a")));
}

TEST_CASE(
    "what a dead process was writing is removed at the next start, what a living one writes is "
    "not") {
  TempFolder temp;
  Gate begun;
  const auto begin = [&] {
    auto* store = new BlobStore(temp / "store", kRoomy);
    auto* writer = new BlobWriter(store->begin(digest_of_text("never"), 5));
    writer->write(bytes_of("nev"));
    begun.open();
    pause();
    return 0;
  };
  const pid_t living = start_child(begin);
  const pid_t dying = start_child(begin);
  begun.wait();
  begun.wait();
  kill(dying, SIGKILL);
  CHECK(wait_for(dying) == -SIGKILL);
  CHECK(folders_in(temp / "store/run") == 2);
  {
    BlobStore store(temp / "store", kRoomy);
    CHECK(folders_in(temp / "store/run") == 2);  // the living one's and this one's
    const auto reports = store.take_reports();
    REQUIRE(reports.size() == 1);
    CHECK_THAT(reports[0].text, Contains("1 dead process"));
    CHECK(lacks(store, digest_of_text("never")));
  }
  // The folder, its lock, its pins and the unfinished blob.
  CHECK(count_files(temp / "store/run") == 4);
  kill(living, SIGKILL);
  wait_for(living);
}

TEST_CASE("a process killed at any moment leaves a store that works") {
  TempFolder temp;
  for (int round = 0; round < 20; ++round) {
    Gate ready;
    const pid_t child = start_child([&] {
      BlobStore store(temp / "store", 4 * kBlock);
      ready.open();
      for (int i = 0;; ++i) put(store, std::to_string(i % 9));
      return 0;
    });
    ready.wait();
    BlobStore store(temp / "store", 4 * kBlock);
    for (int i = 0; i < round; ++i) put(store, std::to_string(i % 9));
    kill(child, SIGKILL);
    CHECK(wait_for(child) == -SIGKILL);
    put(store, "after");
    CHECK(store.statistics().bytes <= 4 * kBlock);
    for (int i = 0; i < 9; ++i) {
      const auto pin = store.pin(digest_of_text(std::to_string(i)));
      if (pin) CHECK(content_of(pin->path()) == std::to_string(i));
    }
    for (const auto& report : store.take_reports()) CHECK_FALSE(report.warning);
  }
}

TEST_CASE("a derived folder that two processes make at once is kept once") {
  TempFolder temp;
  Gate child_makes;
  Gate parent_made;
  const Digest key = digest_of_text("p");
  const pid_t child = start_child([&] {
    BlobStore store(temp / "store", kRoomy);
    const auto pin = store.derived(key, [&](const fs::path& folder) {
      child_makes.open();
      parent_made.wait();
      std::ofstream(folder / "exe") << "child";
    });
    return content_of(pin.path() / "exe") == "parent" ? 0 : 1;
  });
  child_makes.wait();
  BlobStore store(temp / "store", kRoomy);
  const auto pin =
      store.derived(key, [](const fs::path& folder) { std::ofstream(folder / "exe") << "parent"; });
  parent_made.open();
  CHECK(wait_for(child) == 0);
  CHECK(content_of(pin.path() / "exe") == "parent");
  CHECK(folders_in(temp / "store/derived") == 1);
}

TEST_CASE("a full disk evicts what nobody uses, else is a clear error that leaves nothing") {
  TempFolder temp;
  const pid_t child = start_child([&] {
    if (!mount_small_disk(temp.path())) return kNotPermitted;
    BlobStore store(temp / "store", kRoomy);
    const std::string first(600'000, 'a');
    const std::string second(700'000, 'b');
    auto pin = std::make_optional(put(store, first));
    const std::string text = failure_of([&] { put(store, second); });
    if (text.find("No space left") == text.npos || text.find(" free; ") == text.npos) return 1;
    if (text.find("--store") == text.npos) return 2;
    if (folders_in(temp / "store/blobs") != 1 || count_files(temp / "store/run") != 4) return 3;
    pin.reset();
    put(store, second);
    if (!lacks(store, digest_of_text(first)) || lacks(store, digest_of_text(second))) return 4;
    return 0;
  });
  const int code = wait_for(child);
  if (code == kNotPermitted)
    WARN("SKIPPED: no permission to mount a small disk");
  else
    CHECK(code == 0);
}

TEST_CASE("a store that cannot be executed from says so at the start") {
  TempFolder temp;
  const pid_t child = start_child([&] {
    if (!mount_small_disk(temp.path())) return kNotPermitted;
    if (mount(nullptr, temp.path().c_str(), nullptr, MS_REMOUNT | MS_NOEXEC, nullptr) != 0)
      return kNotPermitted;
    BlobStore store(temp / "store", kRoomy);
    const auto reports = store.take_reports();
    if (reports.size() != 1 || !reports[0].warning) return 1;
    return reports[0].text.find("noexec") == std::string::npos ? 2 : 0;
  });
  const int code = wait_for(child);
  if (code == kNotPermitted)
    WARN("SKIPPED: no permission to mount a small disk");
  else
    CHECK(code == 0);
}
