#include "common/base/digest.h"

#include <cstdio>
#include <string>
#include <system_error>
#include <unordered_set>

#include <unistd.h>
#include <catch2/catch.hpp>

namespace {

using knee::Digest;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

constexpr auto kOfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr auto kOfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

struct TemporaryFile {
  std::FILE* file = std::tmpfile();
  ~TemporaryFile() { std::fclose(file); }
  int fd() const { return ::fileno(file); }
};

}  // namespace

TEST_CASE("a digest is the SHA-256 of the bytes") {
  CHECK(knee::digest_of(bytes_of("abc")).hex() == kOfAbc);
  CHECK(knee::digest_of({}).hex() == kOfNothing);
}

TEST_CASE("bytes hashed in pieces give the digest of the whole, and the hasher starts anew") {
  knee::Hasher hasher;
  hasher.update(bytes_of("a"));
  hasher.update({});
  hasher.update(bytes_of("bc"));
  CHECK(hasher.finish().hex() == kOfAbc);
  CHECK(hasher.finish().hex() == kOfNothing);
  knee::Hasher moved(std::move(hasher));
  moved.update(bytes_of("abc"));
  CHECK(moved.finish().hex() == kOfAbc);
}

TEST_CASE("a file is hashed from its start and its position stays") {
  TemporaryFile file;
  const std::string content(1'000'003, 'x');
  REQUIRE(::write(file.fd(), content.data(), content.size()) == ssize_t(content.size()));
  REQUIRE(::lseek(file.fd(), 17, SEEK_SET) == 17);
  CHECK(knee::digest_of_file(file.fd()) == knee::digest_of(bytes_of(content)));
  CHECK(::lseek(file.fd(), 0, SEEK_CUR) == 17);
}

TEST_CASE("a descriptor that cannot be read is an error with its reason") {
  CHECK_THROWS_AS(knee::digest_of_file(-1), std::system_error);
}

TEST_CASE("hexadecimal text names a digest in either case, and nothing else does") {
  const Digest digest = knee::digest_of(bytes_of("abc"));
  std::string text = kOfAbc;
  CHECK(Digest::from_hex(text) == digest);
  for (char& c : text) c = static_cast<char>(std::toupper(c));
  CHECK(Digest::from_hex(text) == digest);
  CHECK_FALSE(Digest::from_hex(text.substr(1)));
  CHECK_FALSE(Digest::from_hex(text + "00"));
  text[20] = 'g';
  CHECK_FALSE(Digest::from_hex(text));
}

TEST_CASE("raw bytes name a digest if there are 32 of them") {
  const Digest digest = knee::digest_of(bytes_of("abc"));
  CHECK(Digest::from_bytes(digest.bytes) == digest);
  CHECK_FALSE(Digest::from_bytes(std::span(digest.bytes).first(31)));
}

TEST_CASE("digests can be compared and kept in hashed sets") {
  const Digest a = knee::digest_of(bytes_of("a"));
  const Digest b = knee::digest_of(bytes_of("b"));
  CHECK(a != b);
  CHECK(((a < b) != (b < a)));
  const std::unordered_set<Digest> set{a, b, a};
  CHECK(set.size() == 2);
}

TEST_CASE("a hasher tells the digest so far and goes on") {
  knee::Hasher hasher;
  CHECK(hasher.so_far() == knee::digest_of(bytes_of("")));
  hasher.update(bytes_of("ab"));
  CHECK(hasher.so_far() == knee::digest_of(bytes_of("ab")));
  hasher.update(bytes_of("c"));
  CHECK(hasher.so_far() == knee::digest_of(bytes_of("abc")));
  CHECK(hasher.finish() == knee::digest_of(bytes_of("abc")));
}
