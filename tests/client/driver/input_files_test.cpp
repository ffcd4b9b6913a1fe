#include "client/driver/input_files.h"

#include <kj/async-io.h>
#include <stdlib.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace fs = std::filesystem;
using knee::InputFile;

namespace {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = fs::temp_directory_path() / "knee-inputs-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;

  const fs::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

void write_file(const fs::path& path, const std::string& content) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

knee::Digest digest_of_text(const std::string& text) {
  return knee::digest_of(std::as_bytes(std::span(text)));
}

/// What travels of an input, by its name there.
std::vector<knee::driver::InputBlob> blobs_of(const InputFile& input) {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  boost::asio::thread_pool disk(1);
  knee::driver::InputFiles files(disk);
  auto blobs = *files.describe({input}).wait(io.waitScope);
  std::ranges::sort(blobs, {}, &knee::driver::InputBlob::name);
  return blobs;
}

std::vector<std::string> names_of(const InputFile& input) {
  std::vector<std::string> names;
  for (const auto& blob : blobs_of(input)) names.push_back(blob.name);
  return names;
}

}  // namespace

TEST_CASE("a link to a file in an input folder goes under its own name, as a copy") {
  const TemporaryFolder here;
  write_file(here / "in/libx.so.1", "library");
  fs::create_symlink("libx.so.1", here / "in/libx.so");
  const auto blobs = blobs_of({.path = here / "in", .name = "in"});
  REQUIRE(blobs.size() == 2);
  CHECK(blobs[0].name == "in/libx.so");
  CHECK(blobs[1].name == "in/libx.so.1");
  CHECK(blobs[0].digest == digest_of_text("library"));
  CHECK(blobs[1].digest == digest_of_text("library"));
}

TEST_CASE("a link that leads out of an input folder goes under its own name") {
  const TemporaryFolder here;
  write_file(here / "else/data", "of somewhere else");
  write_file(here / "in/deep/own", "own");
  fs::create_symlink("../../else/data", here / "in/deep/data");
  fs::create_symlink(here / "else/data", here / "in/absolute");
  const auto blobs = blobs_of({.path = here / "in", .name = "in"});
  REQUIRE(blobs.size() == 3);
  CHECK(blobs[0].name == "in/absolute");
  CHECK(blobs[1].name == "in/deep/data");
  CHECK(blobs[1].digest == digest_of_text("of somewhere else"));
  CHECK(blobs[2].name == "in/deep/own");
}

TEST_CASE("broken links, links in a circle and linked folders do not go with an input folder") {
  const TemporaryFolder here;
  write_file(here / "in/file", "");
  write_file(here / "else/file", "");
  fs::create_symlink("nowhere", here / "in/broken");
  fs::create_symlink("circle", here / "in/circle");
  fs::create_symlink("file/below", here / "in/below a file");
  fs::create_symlink(here / "else", here / "in/linked");
  fs::create_symlink("..", here / "in/up");
  fs::create_directory(here / "in/empty");
  CHECK(names_of({.path = here / "in", .name = "in"}) == std::vector<std::string>{"in/file"});
}

TEST_CASE("an input folder's files have the same names however its path is written") {
  const TemporaryFolder here;
  write_file(here / "in/a", "");
  write_file(here / "in/deep/b", "");
  fs::create_symlink("in", here / "link");
  const std::vector<std::string> expected{"there/a", "there/deep/b"};
  const std::string relative = fs::relative(here.path());
  for (const std::string& path :
       {here / "in", here / "in/", here / "in//", here / "./in", here / "in/.", here / "in/deep/..",
        here / "link", here / "link/", relative + "/in", relative + "/./in/"}) {
    INFO(path);
    CHECK(names_of({.path = path, .name = "there"}) == expected);
  }
}
