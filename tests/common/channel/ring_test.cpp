#include "common/channel/ring.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <deque>
#include <random>
#include <stdexcept>
#include <vector>

using namespace knee::channel;

namespace {

constexpr std::size_t kSize = 256;
constexpr std::uint32_t kFiller = 0xffffffff;

/// A ring's memory, 8-aligned, exactly as long as it says.
struct Memory {
  std::vector<std::uint64_t> words = std::vector<std::uint64_t>(kSize / 8);
  std::span<std::byte> bytes() { return std::as_writable_bytes(std::span(words)); }
  void put(std::size_t offset, std::uint32_t header) {
    std::memcpy(&bytes()[offset], &header, sizeof header);
  }
};

std::vector<std::byte> record(std::size_t size, int value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

std::vector<std::byte> copy(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("a record takes its header and its bytes, padded to 8") {
  Memory memory;
  RingWriter writer(memory.bytes());
  REQUIRE(writer.write(record(0, 1), 0));
  CHECK(writer.position() == 8);
  REQUIRE(writer.write(record(1, 1), 0));
  CHECK(writer.position() == 24);
  REQUIRE(writer.write(record(8, 1), 0));
  CHECK(writer.position() == 40);
}

TEST_CASE("records come out as they went in, the empty one too") {
  Memory memory;
  RingWriter writer(memory.bytes());
  RingReader reader(memory.bytes());
  for (const std::size_t size : {0, 1, 7, 8, 9, 64}) REQUIRE(writer.write(record(size, 7), 0));
  for (const std::size_t size : {0, 1, 7, 8, 9, 64}) {
    const auto read = reader.read(writer.position());
    REQUIRE(read);
    CHECK(copy(*read) == record(size, 7));
    CHECK(reinterpret_cast<std::uintptr_t>(read->data()) % 8 == 0);
  }
  CHECK_FALSE(reader.read(writer.position()));
  CHECK(reader.position() == writer.position());
}

TEST_CASE("a ring can be filled to its last byte and not beyond") {
  Memory memory;
  RingWriter writer(memory.bytes());
  REQUIRE(writer.write(record(kSize - 8, 1), 0));
  CHECK_FALSE(writer.write(record(0, 1), 0));
  CHECK(writer.write(record(0, 1), 8));
}

TEST_CASE("a record that would cross the end is written at the beginning, behind a filler") {
  Memory memory;
  RingWriter writer(memory.bytes());
  RingReader reader(memory.bytes());
  REQUIRE(writer.write(record(kSize - 32, 1), 0));
  REQUIRE(reader.read(writer.position()));
  REQUIRE(writer.write(record(40, 2), reader.position()));
  CHECK(writer.position() == kSize + 48);
  const auto read = reader.read(writer.position());
  REQUIRE(read);
  CHECK(read->data() == memory.bytes().data() + 8);
  CHECK(copy(*read) == record(40, 2));
  CHECK(reader.position() == writer.position());
}

TEST_CASE("the filler counts as taken room") {
  Memory memory;
  RingWriter writer(memory.bytes());
  REQUIRE(writer.write(record(kSize - 32, 1), 0));
  // 24 bytes are free at the end; 40 more are needed at the beginning.
  CHECK_FALSE(writer.write(record(32, 2), 39));
  CHECK(writer.position() == kSize - 24);
  CHECK(writer.write(record(32, 2), 40));
}

TEST_CASE("a record longer than the ring is refused whatever position the reader claims") {
  Memory memory;
  RingWriter writer(memory.bytes());
  const auto large = record(3 * kSize, 1);
  for (Position read = 0; read < 8 * kSize; read += 8) CHECK_FALSE(writer.write(large, read));
  CHECK_FALSE(writer.write(large, ~Position{0}));
  CHECK(writer.position() == 0);
}

TEST_CASE("a rewound writer writes over what it takes back, filler included") {
  Memory memory;
  RingWriter writer(memory.bytes());
  RingReader reader(memory.bytes());
  REQUIRE(writer.write(record(kSize - 64, 1), 0));
  REQUIRE(reader.read(writer.position()));
  const Position start = writer.position();
  REQUIRE(writer.write(record(100, 2), reader.position()));  // behind a filler
  writer.rewind(start);
  REQUIRE(writer.write(record(5, 3), reader.position()));
  const auto read = reader.read(writer.position());
  REQUIRE(read);
  CHECK(copy(*read) == record(5, 3));
  CHECK_FALSE(reader.read(writer.position()));
}

TEST_CASE("random records cross the end thousands of times unharmed") {
  Memory memory;
  RingWriter writer(memory.bytes());
  RingReader reader(memory.bytes());
  std::mt19937 random(7);
  std::deque<std::vector<std::byte>> expected;
  std::deque<Position> starts;
  for (int step = 0; step < 100'000; ++step) {
    const auto choice = random() % 8;
    if (choice < 4) {
      auto made = record(random() % 100, static_cast<int>(random() % 256));
      const Position start = writer.position();
      if (!writer.write(made, reader.position())) continue;
      expected.push_back(std::move(made));
      starts.push_back(start);
    } else if (choice < 7) {
      const auto read = reader.read(writer.position());
      REQUIRE(read.has_value() == !expected.empty());
      if (!read) continue;
      REQUIRE(copy(*read) == expected.front());
      expected.pop_front();
      starts.pop_front();
    } else if (!starts.empty()) {
      writer.rewind(starts.back());
      starts.pop_back();
      expected.pop_back();
    }
  }
  CHECK(writer.position() > 1000 * kSize);
}

TEST_CASE("a length beyond what was written is an error") {
  Memory memory;
  RingReader reader(memory.bytes());
  const std::uint32_t length = GENERATE(9U, 17U, 250U, 0x7fffffffU, 0xfffffff8U, 0xfffffffeU);
  memory.put(0, length);
  CHECK_THROWS_AS(reader.read(16), std::runtime_error);
}

TEST_CASE("a length that reaches over the end of the memory is an error") {
  Memory memory;
  RingWriter writer(memory.bytes());
  RingReader reader(memory.bytes());
  REQUIRE(writer.write(record(kSize - 16, 1), 0));
  REQUIRE(reader.read(writer.position()));
  memory.put(kSize - 8, 8);
  CHECK_THROWS_AS(reader.read(writer.position() + 64), std::runtime_error);
}

TEST_CASE("a filler that nothing follows is an error, and so are fillers without end") {
  Memory memory;
  RingReader reader(memory.bytes());
  memory.put(0, kFiller);
  CHECK_THROWS_AS(reader.read(8), std::runtime_error);
  CHECK_THROWS_AS(reader.read(kSize), std::runtime_error);
}

TEST_CASE("a written position before the reader's, or more than a ring ahead, is an error") {
  Memory memory;
  RingWriter writer(memory.bytes());
  RingReader reader(memory.bytes());
  REQUIRE(writer.write(record(8, 1), 0));
  REQUIRE(reader.read(writer.position()));
  CHECK_THROWS_AS(reader.read(0), std::runtime_error);
  CHECK_THROWS_AS(reader.read(reader.position() + kSize + 8), std::runtime_error);
  CHECK_THROWS_AS(reader.read(~Position{0}), std::runtime_error);
}

TEST_CASE("nonsense in memory is found or read as records inside it, never beyond") {
  Memory memory;
  std::mt19937_64 random(11);
  std::size_t errors = 0;
  for (int round = 0; round < 20'000; ++round) {
    for (auto& word : memory.words)
      word = random() % 4 == 0 ? kFiller : random() % 8 == 0 ? random() : random() % 64;
    RingReader reader(memory.bytes());
    const Position written = random() % 16 == 0 ? random() : random() % (kSize + 16);
    try {
      for (int reads = 0; reads < 100; ++reads) {
        const auto read = reader.read(written);
        if (!read) break;
        if (read->empty()) continue;
        REQUIRE(read->data() >= memory.bytes().data());
        REQUIRE(read->data() + read->size() <= memory.bytes().data() + kSize);
      }
    } catch (const std::runtime_error&) {
      ++errors;
    }
  }
  CHECK(errors > 1000);
}
