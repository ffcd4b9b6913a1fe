#include "slave/spare_memory.h"

#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <algorithm>

using knee::channel::SharedMemory;
using knee::slave::SpareMemory;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

ino_t inode(const SharedMemory& memory) {
  struct stat about {};
  REQUIRE(::fstat(memory.fd(), &about) == 0);
  return about.st_ino;
}

/// Memory the kernel has given it.
std::size_t resident(const SharedMemory& memory) {
  struct stat about {};
  REQUIRE(::fstat(memory.fd(), &about) == 0);
  return static_cast<std::size_t>(about.st_blocks) * 512;
}

SharedMemory filled(SpareMemory& spare, std::size_t size) {
  auto memory = spare.take(size);
  std::fill(memory.bytes().begin(), memory.bytes().end(), std::byte{'x'});
  return memory;
}

}  // namespace

TEST_CASE("memory of a value is used again for the next one of about its size") {
  SpareMemory spare;
  auto memory = filled(spare, 10 * kMiB);
  const auto same = inode(memory);
  spare.keep(std::move(memory));
  auto next = spare.take(9 * kMiB + 5);
  CHECK(inode(next) == same);
  CHECK(next.bytes().size() == 9 * kMiB + 5);
  CHECK(next.capacity() == 10 * kMiB);
  CHECK(spare.empty());
  CHECK(spare.bytes() == 0);
}

TEST_CASE("a small value takes no large memory, and a large one no small") {
  SpareMemory spare;
  auto memory = spare.take(10 * kMiB);
  const auto other = inode(memory);
  spare.keep(std::move(memory));
  CHECK(inode(spare.take(kMiB)) != other);
  CHECK(inode(spare.take(20 * kMiB)) != other);
  CHECK(spare.bytes() >= 10 * kMiB);
}

TEST_CASE("what nobody wants is freed at the second look, also for those who still have it") {
  SpareMemory spare;
  auto memory = filled(spare, kMiB);
  const auto elsewhere = SharedMemory::map(knee::UniqueFd(::dup(memory.fd())));
  spare.keep(std::move(memory));
  spare.age();
  CHECK_FALSE(spare.empty());
  CHECK(resident(elsewhere) >= kMiB);
  spare.age();
  CHECK(spare.empty());
  CHECK(spare.bytes() == 0);
  CHECK(resident(elsewhere) == 0);
}

TEST_CASE("what was used between two looks is not old") {
  SpareMemory spare;
  spare.keep(filled(spare, kMiB));
  spare.age();
  spare.keep(spare.take(kMiB));
  spare.age();
  CHECK_FALSE(spare.empty());
}

TEST_CASE("no more than so much is kept, and what is lent counts") {
  SpareMemory spare;
  constexpr std::size_t kPiece = 60 * kMiB;
  for (int i = 0; i < 10; ++i) spare.keep(SharedMemory::create("test", kPiece));
  const std::size_t full = spare.bytes();
  CHECK(full <= SpareMemory::kMost);
  CHECK(full + kPiece > SpareMemory::kMost);
  const auto lent = spare.lend(kPiece);
  REQUIRE(lent);
  spare.keep(SharedMemory::create("test", kPiece));
  CHECK(spare.bytes() == full - kPiece);
  spare.returned(lent->capacity());
  spare.keep(SharedMemory::create("test", kPiece));
  CHECK(spare.bytes() == full);
}

TEST_CASE("nothing is lent when nothing is spare") {
  SpareMemory spare;
  CHECK_FALSE(spare.lend(kMiB));
}

TEST_CASE("an empty value needs memory as well") {
  SpareMemory spare;
  CHECK(spare.take(0).bytes().empty());
}
