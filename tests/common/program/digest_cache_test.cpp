#include "common/program/digest_cache.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "common/base/unique_fd.h"
#include "sample.h"

namespace {

namespace fs = std::filesystem;
using knee::Digest;
using knee::UniqueFd;
using knee::program::DigestCache;

// A file that has been the same for longer than time stamps are coarse.
constexpr const char* kOldFile = "/bin/sh";

UniqueFd open_old_file() {
  return UniqueFd(::open(kOldFile, O_RDONLY | O_CLOEXEC));
}

Digest digest_and_save(const std::string& path, std::size_t expected_hashed) {
  const UniqueFd fd = open_old_file();
  DigestCache cache(path);
  const Digest digest = cache.digest_of(fd.get(), kOldFile);
  cache.save();
  CHECK(cache.hashed() == expected_hashed);
  return digest;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text;
}

std::vector<std::string> old_files() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator("/usr/bin"))
    if (files.size() < 24 && entry.is_regular_file() && entry.file_size() < 100'000)
      files.push_back(entry.path());
  return files;
}

void add_file(const std::string& path, const std::string& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  DigestCache cache(path);
  cache.digest_of(fd.get(), file);
  cache.save();
}

}  // namespace

TEST_CASE("a file is hashed once for all runs") {
  const sample::Folder folder;
  const std::string path = folder / "deep/er/digests";
  const Digest digest = digest_and_save(path, 1);
  CHECK(digest == knee::digest_of_file(open_old_file().get()));
  CHECK(digest_and_save(path, 0) == digest);
}

TEST_CASE("a file that changed a moment ago is not remembered") {
  const sample::Folder folder;
  write(folder / "new", "content");
  const UniqueFd fd(::open((folder / "new").c_str(), O_RDONLY | O_CLOEXEC));
  DigestCache cache(folder / "digests");
  cache.digest_of(fd.get(), "new");
  cache.digest_of(fd.get(), "new");
  CHECK(cache.hashed() == 2);
}

TEST_CASE("without a place for the cache files are hashed each time") {
  for (const char* path : {"", "/proc/no/digests", "/dev/null/digests"}) {
    const Digest digest = digest_and_save(path, 1);
    CHECK(digest_and_save(path, 1) == digest);
  }
}

TEST_CASE("a damaged cache is forgotten and replaced") {
  const sample::Folder folder;
  const std::string path = folder / "digests";
  const Digest digest = digest_and_save(folder / "other", 1);
  const std::string garbage(1000, '\xff');
  for (const std::string& text :
       {std::string(), garbage, std::string("knee digests 1\n1 2 3\n\n1 2 3 4 5 zz\n") + garbage,
        std::string("knee digests 2\n")}) {
    write(path, text);
    CHECK(digest_and_save(path, 1) == digest);
    CHECK(digest_and_save(path, 0) == digest);
  }
}

TEST_CASE("a cache cut short anywhere never gives a wrong digest") {
  const sample::Folder folder;
  const Digest digest = digest_and_save(folder / "digests", 1);
  std::ifstream file(folder / "digests");
  const std::string whole{std::istreambuf_iterator<char>(file), {}};
  const UniqueFd fd = open_old_file();
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    write(folder / "cut", whole.substr(0, size));
    CHECK(DigestCache(folder / "cut").digest_of(fd.get(), kOldFile) == digest);
  }
}

TEST_CASE("the cache forgets what was asked for longest ago") {
  const sample::Folder folder;
  const std::string path = folder / "digests";
  std::ofstream file(path);
  file << "knee digests 1\n";
  for (std::size_t i = 0; i < DigestCache::kMostEntries + 500; ++i)
    file << "1 " << i << " 3 4 5 " << Digest{}.hex() << '\n';
  file.close();
  digest_and_save(path, 1);
  const auto lines = lines_of(path);
  CHECK(lines.size() == DigestCache::kMostEntries + 1);
  CHECK(lines[1].starts_with("1 501 "));
  digest_and_save(path, 0);
}

TEST_CASE("processes that write one cache at once leave a whole one") {
  const sample::Folder folder;
  const std::string path = folder / "digests";
  const auto files = old_files();
  REQUIRE(files.size() > 8);
  std::vector<pid_t> children;
  for (std::size_t i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      // Each starts elsewhere in the list, so that there is always something new to write.
      for (std::size_t j = 0; j < files.size(); ++j)
        add_file(path, files[(i * files.size() / 4 + j) % files.size()]);
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);

  const auto lines = lines_of(path);
  CHECK(lines.size() > 1);
  CHECK(lines.size() <= files.size() + 1);
  for (const std::string& file : files) {
    const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    CHECK(DigestCache(path).digest_of(fd.get(), file) == knee::digest_of_file(fd.get()));
  }
  const auto entries = fs::directory_iterator(folder.path());
  CHECK(std::distance(begin(entries), end(entries)) == 1);
}

TEST_CASE("the cache lies where the desktop's rules say") {
  const sample::Folder folder;
  ::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  CHECK(DigestCache::default_path() == folder / "knee/digests");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::setenv("HOME", "/home/x", 1);
  CHECK(DigestCache::default_path() == "/home/x/.cache/knee/digests");
  ::unsetenv("XDG_CACHE_HOME");
  CHECK(DigestCache::default_path() == "/home/x/.cache/knee/digests");
  ::unsetenv("HOME");
  CHECK(DigestCache::default_path().empty());
}
