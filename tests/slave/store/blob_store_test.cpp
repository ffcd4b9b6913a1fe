#include "slave/store/blob_store.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <sstream>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <catch2/catch.hpp>

#include "store_fixture.h"

using namespace knee;
using namespace knee::slave;
using namespace knee::slave::test;
using Catch::Matchers::Contains;

TEST_CASE("a blob that was put is found, read-only and executable by its owner alone") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  REQUIRE(lacks(store, digest_of_text("hello")));
  put(store, "hello");
  CHECK_FALSE(lacks(store, digest_of_text("hello")));
  const auto pin = store.pin(digest_of_text("hello"));
  REQUIRE(pin);
  CHECK(content_of(pin->path()) == "hello");
  struct stat status;
  REQUIRE(stat(pin->path().c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0500);
  const auto statistics = store.statistics();
  CHECK(statistics.blobs == 1);
  CHECK(statistics.bytes == kBlock);
  CHECK(statistics.limit == kRoomy);
  CHECK(statistics.rehashed == 0);
}

TEST_CASE("an empty blob can be stored") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  put(store, "");
  CHECK_FALSE(lacks(store, digest_of_text("")));
}

TEST_CASE("lacking names what is not there, in the order of the question") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  put(store, "b");
  const std::vector<Digest> asked{digest_of_text("c"), digest_of_text("b"), digest_of_text("a")};
  CHECK(store.lacking(asked) == std::vector<Digest>{asked[0], asked[2]});
}

TEST_CASE("a blob with the wrong hash is refused, both hashes are named and nothing is left") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const std::string refusal = failure_of([&] {
    BlobWriter writer = store.begin(digest_of_text("right"), 5);
    writer.write(bytes_of("wrong"));
    writer.commit();
  });
  CHECK_THAT(refusal, Contains(digest_of_text("right").hex()));
  CHECK_THAT(refusal, Contains(digest_of_text("wrong").hex()));
  CHECK(count_files(temp / "store/blobs") == 0);
  CHECK(count_files(temp / "store/run") == 3);  // this store's own folder, its lock and its pins
  CHECK(lacks(store, digest_of_text("right")));
}

TEST_CASE("a blob of another size than announced is refused") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const Digest digest = digest_of_text("hello");
  BlobWriter longer = store.begin(digest, 4);
  CHECK_THAT(failure_of([&] { longer.write(bytes_of("hello")); }),
             Contains("more bytes came than 4"));
  BlobWriter shorter = store.begin(digest, 6);
  shorter.write(bytes_of("hello"));
  CHECK_THAT(failure_of([&] { shorter.commit(); }), Contains("5 bytes came instead of 6"));
}

TEST_CASE("a writer that is dropped leaves nothing and gives its room back") {
  TempFolder temp;
  BlobStore store(temp / "store", 2 * kBlock);
  for (int i = 0; i < 5; ++i) {
    BlobWriter writer = store.begin(digest_of_text("x"), 2 * kBlock);
    writer.write(bytes_of("begun"));
  }
  CHECK(count_files(temp / "store/run") == 3);
}

TEST_CASE("of two writers of the same blob the second one's commit is a success without effect") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const Digest digest = digest_of_text("same");
  BlobWriter one = store.begin(digest, 4);
  BlobWriter two = store.begin(digest, 4);
  one.write(bytes_of("same"));
  two.write(bytes_of("same"));
  const auto pin = one.commit();
  struct stat first;
  REQUIRE(stat(pin.path().c_str(), &first) == 0);
  two.commit();
  struct stat second;
  REQUIRE(stat(pin.path().c_str(), &second) == 0);
  CHECK(first.st_ino == second.st_ino);
  CHECK(store.statistics().blobs == 1);
}

TEST_CASE("a second writer of a blob gives its room back when it commits") {
  TempFolder temp;
  BlobStore store(temp / "store", 2 * kBlock);
  BlobWriter one = store.begin(digest_of_text("same"), 4);
  BlobWriter two = store.begin(digest_of_text("same"), 4);
  one.write(bytes_of("same"));
  two.write(bytes_of("same"));
  const BlobPin first = one.commit();
  const BlobPin second = two.commit();
  put(store, "other");  // fits although both writers and both pins still live
  CHECK(store.statistics().bytes == 2 * kBlock);
}

TEST_CASE("threads put, pin and evict the same few blobs at once and never see a bad one") {
  TempFolder temp;
  BlobStore store(temp / "store", 8 * kBlock);
  std::atomic<int> bad = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&store, &bad, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string text = "blob " + std::to_string((i * 7 + t) % 12);
        auto pin = store.pin(digest_of_text(text));
        const BlobPin held = pin ? std::move(*pin) : put(store, text);
        if (content_of(held.path()) != text) ++bad;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(bad == 0);
  CHECK(store.statistics().bytes <= 8 * kBlock);
}

TEST_CASE("the least recently used blob is evicted first") {
  TempFolder temp;
  BlobStore store(temp / "store", 3 * kBlock);
  for (const char* text : {"a", "b", "c"}) put(store, text);
  CHECK_FALSE(lacks(store, digest_of_text("a")));  // a use
  put(store, "d");
  CHECK(lacks(store, digest_of_text("b")));
  CHECK_FALSE(lacks(store, digest_of_text("a")));
  put(store, "e");
  CHECK(lacks(store, digest_of_text("c")));
  CHECK(store.statistics().bytes == 3 * kBlock);
}

TEST_CASE("eviction spares what is pinned, and says so when nothing else is left") {
  TempFolder temp;
  BlobStore store(temp / "store", 2 * kBlock);
  const BlobPin a = put(store, "a");
  put(store, "b");
  put(store, "c");
  CHECK_FALSE(lacks(store, digest_of_text("a")));
  CHECK(lacks(store, digest_of_text("b")));
  const auto c = store.pin(digest_of_text("c"));
  const std::string refusal = failure_of([&] { put(store, "d"); });
  CHECK_THAT(refusal, Contains("in use") && Contains("--store-size"));
  CHECK_FALSE(lacks(store, digest_of_text("c")));
}

TEST_CASE("a blob pinned twice stays until both pins are gone") {
  TempFolder temp;
  BlobStore store(temp / "store", kBlock);
  auto one = std::make_optional(put(store, "a"));
  auto two = store.pin(digest_of_text("a"));
  one.reset();
  CHECK_THROWS(store.evict(kBlock));
  two.reset();
  const Evicted evicted = store.evict(kBlock);
  CHECK(evicted.entries == 1);
  CHECK(evicted.bytes == kBlock);
  CHECK(lacks(store, digest_of_text("a")));
}

TEST_CASE("a blob larger than the store is refused before a byte is sent") {
  TempFolder temp;
  BlobStore store(temp / "store", 2 * kBlock);
  put(store, "a");
  const std::string refusal = failure_of([&] { store.begin(digest_of_text("big"), 5'000'000); });
  CHECK_THAT(refusal, Contains("5.0 MB") && Contains("8.2 kB") && Contains("--store-size"));
  for (const std::uint64_t absurd : {UINT64_MAX, UINT64_MAX - kBlock, UINT64_MAX / 2})
    CHECK_THAT(failure_of([&] { store.begin(digest_of_text("big"), absurd); }),
               Contains("--store-size"));
  CHECK_FALSE(lacks(store, digest_of_text("a")));  // nothing was evicted in vain
}

TEST_CASE(
    "a blob damaged by hand is found, removed, reported and lacking, though size and mtime are as "
    "before") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const fs::path path = put(store, "good").path();
  damage(path, "evil");
  SECTION("when it is pinned") {
    CHECK_FALSE(store.pin(digest_of_text("good")));
  }
  SECTION("when a driver asks what is lacking") {
    CHECK(lacks(store, digest_of_text("good")));
  }
  CHECK_FALSE(fs::exists(path));
  const auto reports = store.take_reports();
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].warning);
  CHECK_THAT(reports[0].text, Contains(path.string()) && Contains(digest_of_text("evil").hex()));
  CHECK(store.take_reports().empty());
  put(store, "good");
  CHECK(store.pin(digest_of_text("good")));
}

TEST_CASE("a blob that was touched but not changed is hashed once more and kept") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  damage(put(store, "good").path(), "good");
  CHECK(store.pin(digest_of_text("good")));
  CHECK(store.statistics().rehashed == 4);
  CHECK(store.pin(digest_of_text("good")));
  CHECK(store.statistics().rehashed == 4);
}

TEST_CASE("a damaged blob is replaced by putting it again") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const fs::path path = put(store, "good").path();
  damage(path, "evil");
  CHECK(content_of(put(store, "good").path()) == "good");
}

TEST_CASE("what stands in a blob's place but is no plain file is removed") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const fs::path path = put(store, "good").path();
  fs::remove(path);
  SECTION("a symbolic link") {
    fs::create_symlink("/etc/passwd", path);
  }
  SECTION("a folder") {
    fs::create_directory(path);
  }
  SECTION("a pipe") {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  }
  CHECK(lacks(store, digest_of_text("good")));
  CHECK_FALSE(fs::exists(fs::symlink_status(path)));
}

TEST_CASE("a blob removed by hand is lacking") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  fs::remove(put(store, "a").path());
  CHECK(lacks(store, digest_of_text("a")));
  CHECK(store.statistics().blobs == 0);
}

TEST_CASE("a warm restart hashes nothing") {
  TempFolder temp;
  const std::string text(1'000'000, 'x');
  {
    BlobStore store(temp / "store", kRoomy);
    put(store, text);
  }
  BlobStore store(temp / "store", kRoomy);
  CHECK(store.pin(digest_of_text(text)));
  CHECK(store.statistics().rehashed == 0);
  CHECK(store.statistics().blobs == 1);
}

TEST_CASE("a store whose index is lost or garbage hashes its blobs once") {
  TempFolder temp;
  const fs::path index = temp / "store/index.1";
  {
    BlobStore store(temp / "store", kRoomy);
    put(store, "hello");
  }
  SECTION("removed") {
    fs::remove(index);
  }
  SECTION("garbage") {
    std::ofstream(index, std::ios::trunc)
        << "+ b zz\n\n+ b " << digest_of_text("hello").hex() << " 1 2\n+ torn";
  }
  for (std::uint64_t expected : {5, 0}) {
    BlobStore store(temp / "store", kRoomy);
    CHECK(store.pin(digest_of_text("hello")));
    CHECK(store.statistics().rehashed == expected);
  }
}

TEST_CASE("a blob verified before the machine was booted is hashed again, once") {
  TempFolder temp;
  const fs::path index = temp / "store/index.1";
  {
    BlobStore store(temp / "store", kRoomy);
    put(store, "hello");
  }
  std::ostringstream boot;
  boot << std::hex << this_boot();
  std::string lines = content_of(index);
  for (auto at = lines.find(boot.str()); at != lines.npos; at = lines.find(boot.str()))
    lines.replace(at, boot.str().size(), "abc");
  std::ofstream(index, std::ios::trunc) << lines;
  BlobStore store(temp / "store", kRoomy);
  CHECK(store.pin(digest_of_text("hello")));
  CHECK(store.pin(digest_of_text("hello")));
  CHECK(store.statistics().rehashed == 5);
}

TEST_CASE("a store whose folder is removed while it is in use says so and survives") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const BlobPin pin = put(store, "hello");
  fs::remove_all(temp / "store");
  const std::string text = failure_of([&] { store.pin(digest_of_text("hello")); });
  CHECK_THAT(text, Contains((temp / "store").string()) && Contains("No such file"));
  CHECK_THROWS(put(store, "other"));
}

TEST_CASE("an index removed while the store is in use is written anew") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  put(store, "hello");
  fs::remove(temp / "store/index.1");
  CHECK(store.pin(digest_of_text("hello")));
  CHECK(store.statistics().rehashed == 0);
  BlobStore other(temp / "store", kRoomy);
  CHECK(other.pin(digest_of_text("hello")));
  CHECK(other.statistics().rehashed == 0);
}

TEST_CASE("the index does not grow for ever") {
  TempFolder temp;
  BlobStore store(temp / "store", 2 * kBlock);
  for (int i = 0; i < 3000; ++i) put(store, std::to_string(i));
  CHECK(fs::file_size(temp / "store/index.1") < 1'000'000);
  CHECK_FALSE(lacks(store, digest_of_text("2999")));
}

TEST_CASE("a store that is opened with a smaller limit shrinks to it") {
  TempFolder temp;
  {
    BlobStore store(temp / "store", kRoomy);
    for (const char* text : {"a", "b", "c"}) put(store, text);
  }
  BlobStore store(temp / "store", kBlock);
  CHECK(store.statistics().bytes == kBlock);
  CHECK_FALSE(lacks(store, digest_of_text("c")));
}

TEST_CASE("ten thousand small blobs start fast") {
  TempFolder temp;
  std::vector<Digest> digests;
  {
    BlobStore store(temp / "store", kRoomy);
    for (int i = 0; i < 10'000; ++i) digests.push_back(put(store, std::to_string(i)).digest());
  }
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  BlobStore store(temp / "store", kRoomy);
  const auto opened = Clock::now();
  CHECK(store.lacking(digests).empty());
  const auto asked = Clock::now();
  CHECK(store.statistics().rehashed == 0);
  const auto ms = [](auto duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  };
  WARN("10,000 blobs: opened in " << ms(opened - start) << " ms, asked for all in "
                                  << ms(asked - opened) << " ms");
  CHECK(opened - start < std::chrono::seconds(5));
}

TEST_CASE("a file the system does not let grow is a clear error and leaves nothing") {
  TempFolder temp;
  const pid_t child = start_child([&] {
    signal(SIGXFSZ, SIG_IGN);
    BlobStore store(temp / "store", kRoomy);
    const rlimit limit{65536, 65536};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string text = failure_of([&] { store.begin(digest_of_text("big"), 1'000'000); });
    if (text.find("File too large") == text.npos || text.find("1.0 MB") == text.npos) return 1;
    return count_files(temp / "store/run") == 3 ? 0 : 2;
  });
  CHECK(wait_for(child) == 0);
}

TEST_CASE("a derived folder is made once and found after a restart") {
  TempFolder temp;
  const Digest key = digest_of_text("program");
  int made = 0;
  const auto make = [&](const fs::path& folder) {
    ++made;
    std::ofstream(folder / "exe") << "code";
    fs::create_directory(folder / "lib");
    fs::create_symlink("../exe", folder / "lib/link");
  };
  for (int i = 0; i < 2; ++i) {
    BlobStore store(temp / "store", kRoomy);
    const DerivedPin one = store.derived(key, make);
    const DerivedPin two = store.derived(key, make);
    CHECK(content_of(two.path() / "lib/link") == "code");
    CHECK(store.statistics().derived == 1);
    CHECK(store.statistics().bytes > 0);
    CHECK(store.statistics().blobs == 0);
  }
  CHECK(made == 1);
}

TEST_CASE("a derived folder that threads want at once is made by one of them") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  std::atomic<int> made = 0;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      const DerivedPin pin = store.derived(digest_of_text("p"), [&](const fs::path& folder) {
        ++made;
        std::ofstream(folder / "exe") << "code";
      });
      if (content_of(pin.path() / "exe") == "code") ++right;
    });
  for (auto& thread : threads) thread.join();
  CHECK(made == 1);
  CHECK(right == 8);
}

TEST_CASE("a derived folder whose making fails leaves nothing and is tried again") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const Digest key = digest_of_text("p");
  const std::string failure = failure_of([&] {
    store.derived(key, [](const fs::path& folder) {
      fs::create_directory(folder / "closed");
      std::ofstream(folder / "closed/file") << "x";
      fs::permissions(folder / "closed", fs::perms::owner_read | fs::perms::owner_exec);
      throw std::runtime_error("no luck");
    });
  });
  CHECK(failure == "no luck");
  CHECK(count_files(temp / "store/run") == 3);
  bool made = false;
  store.derived(key, [&](const fs::path&) { made = true; });
  CHECK(made);
}

TEST_CASE("a derived folder changed by hand is made again") {
  TempFolder temp;
  BlobStore store(temp / "store", kRoomy);
  const Digest key = digest_of_text("p");
  const auto make = [](const fs::path& folder) { std::ofstream(folder / "exe") << "good"; };
  const fs::path path = store.derived(key, make).path();
  SECTION("a file changed") {
    damage(path / "exe", "evil");
  }
  SECTION("a file added") {
    std::ofstream(path / "libevil.so") << "evil";
  }
  SECTION("a file removed") {
    fs::remove(path / "exe");
  }
  const DerivedPin pin = store.derived(key, make);
  CHECK(content_of(pin.path() / "exe") == "good");
  CHECK(count_files(pin.path()) == 1);
  CHECK(store.take_reports().size() == 1);
}

TEST_CASE("derived folders count into the limit, are spared while pinned and evicted when not") {
  TempFolder temp;
  BlobStore store(temp / "store", 3 * kBlock);
  const auto make = [](const fs::path& folder) {
    std::ofstream(folder / "one") << "1";
    std::ofstream(folder / "two") << "2";
  };
  auto pin = std::make_optional(store.derived(digest_of_text("p"), make));
  const fs::path path = pin->path();
  put(store, "a");
  put(store, "b");
  CHECK(fs::exists(path / "one"));
  CHECK(store.statistics().bytes == 3 * kBlock);
  CHECK_THROWS(store.evict(2 * kBlock));
  pin.reset();
  store.evict(2 * kBlock);
  CHECK_FALSE(fs::exists(path));
  CHECK(store.statistics().derived == 0);
}
