#include <knee/detail/bytes.h>

#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using knee::detail::Bytes;
using knee::detail::LargeBlock;

namespace {

std::string_view text_of(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool is_inside(const Bytes& bytes) {
  const auto* const object = reinterpret_cast<const std::byte*>(&bytes);
  return bytes.data() >= object && bytes.data() < object + sizeof bytes;
}

Bytes bytes_of(std::string_view text) {
  return Bytes(std::as_bytes(std::span(text)));
}

/// Fresh memory.
struct Pages {
  explicit Pages(std::size_t size)
      : size(size),
        begin(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    REQUIRE(begin != MAP_FAILED);
  }
  ~Pages() { ::munmap(begin, size); }
  Pages(const Pages&) = delete;

  std::size_t page() const { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }
  std::vector<bool> there() const {
    std::vector<unsigned char> pages(size / page());
    REQUIRE(::mincore(begin, size, pages.data()) == 0);
    std::vector<bool> all(pages.size());
    std::transform(pages.begin(), pages.end(), all.begin(), [](int bits) { return bits & 1; });
    return all;
  }

  std::size_t size;
  void* begin;
};

/// Linux 5.14.
bool can_fault_in() {
  const Pages one(4096);
  return ::madvise(one.begin, one.page(), 23) == 0;
}

}  // namespace

TEST_CASE("24 bytes live in the object, 25 on the heap") {
  Bytes bytes;
  bytes.append(std::string(Bytes::kInline, 'x').data(), Bytes::kInline);
  REQUIRE(is_inside(bytes));
  bytes.append("y", 1);
  REQUIRE_FALSE(is_inside(bytes));
  REQUIRE(text_of(bytes) == std::string(24, 'x') + "y");
}

TEST_CASE("bytes grow across many appends without losing any") {
  Bytes bytes;
  std::string expected;
  for (int i = 0; i < 10'000; ++i) {
    const std::string piece = std::to_string(i);
    bytes.append(piece.data(), piece.size());
    expected += piece;
  }
  REQUIRE(text_of(bytes) == expected);
}

TEST_CASE("one large append allocates what it needs, no more") {
  Bytes bytes;
  const std::string megabyte(1 << 20, 'm');
  bytes.append(megabyte.data(), megabyte.size());
  REQUIRE(bytes.capacity() == megabyte.size());
}

TEST_CASE("moved bytes leave an empty, usable object") {
  for (const std::string& text : {std::string("short"), std::string(100, 'l')}) {
    Bytes from = bytes_of(text);
    Bytes to(std::move(from));
    REQUIRE(text_of(to) == text);
    REQUIRE(from.empty());
    from.append("again", 5);
    REQUIRE(text_of(from) == "again");
    REQUIRE(text_of(to) == text);
    to = std::move(from);
    REQUIRE(text_of(to) == "again");
  }
}

TEST_CASE("assigning bytes to themselves keeps them") {
  Bytes bytes = bytes_of("self");
  Bytes& same = bytes;
  bytes = std::move(same);
  REQUIRE(text_of(bytes) == "self");
}

TEST_CASE("growing beyond the address space is refused and changes nothing") {
  Bytes bytes = bytes_of("kept");
  REQUIRE_THROWS_AS(bytes.extend(std::size_t{1} << 63), std::bad_alloc);
  REQUIRE(text_of(bytes) == "kept");
}

TEST_CASE("clear keeps the capacity, truncate keeps the front") {
  Bytes bytes = bytes_of(std::string(100, 'a'));
  const std::size_t capacity = bytes.capacity();
  bytes.truncate(3);
  REQUIRE(text_of(bytes) == "aaa");
  bytes.clear();
  REQUIRE(bytes.empty());
  REQUIRE(bytes.capacity() == capacity);
}

TEST_CASE("a large block that was given back is the next one that is wanted") {
  constexpr std::size_t kSize = LargeBlock::kLeast;
  LargeBlock::free_kept();
  Bytes first;
  std::memset(first.extend(kSize), 1, kSize);
  const auto* const block = first.data();
  first = Bytes();
  SECTION("of the same size") {
    Bytes second;
    second.extend(kSize);
    CHECK(second.data() == block);
    SECTION("by one at a time") {
      Bytes third;
      third.extend(kSize);
      CHECK(third.data() != block);
    }
  }
  SECTION("though it is larger, and its capacity is not forgotten") {
    Bytes larger;
    larger.extend(kSize + kSize / 2);
    larger = Bytes();
    Bytes second;
    second.extend(kSize);
    CHECK(second.capacity() >= kSize);
    CHECK(second.capacity() < 2 * kSize);
  }
  SECTION("not if it is twice as large, or too small") {
    Bytes small;
    small.extend(kSize + 1);
    CHECK(small.capacity() > kSize);
    small = Bytes();
    Bytes huge;
    huge.extend(4 * kSize);
    CHECK(huge.capacity() >= 4 * kSize);
    huge = Bytes();
    Bytes modest;
    modest.extend(kSize);
    CHECK(modest.capacity() < 2 * kSize);
  }
}

TEST_CASE("smaller blocks that come and go do not take the place of the one that is kept") {
  constexpr std::size_t kSize = LargeBlock::kLeast;
  const auto use_one = [](std::size_t size) {
    std::size_t capacity = size;
    auto* const block = LargeBlock::take(capacity);
    LargeBlock::give_back(block, capacity);
    return capacity;
  };
  LargeBlock::free_kept();
  use_one(6 * kSize);
  CHECK(use_one(kSize) == kSize);
  CHECK(use_one(4 * kSize) == 6 * kSize);
  SECTION("but do not make it stay either") {
    LargeBlock::age();
    use_one(kSize);
    LargeBlock::age();
    CHECK(use_one(kSize) == kSize);
    CHECK(use_one(4 * kSize) == 4 * kSize);
  }
  SECTION("and a larger one does") {
    use_one(20 * kSize);
    CHECK(use_one(11 * kSize) == 20 * kSize);
  }
}

TEST_CASE("memory that is faulted in is there, and nothing beside it") {
  if (!can_fault_in()) {
    WARN("skipped: this kernel cannot");
    return;
  }
  const Pages pages(std::size_t{8} << 20);
  ::madvise(pages.begin, pages.size, MADV_NOHUGEPAGE);
  const std::size_t page = pages.page();
  auto* const begin = static_cast<std::byte*>(pages.begin);
  std::fill_n(begin + 16 * page, page, std::byte{7});
  LargeBlock::fault_in(begin + page + 1, (std::size_t{2} << 20) - 2);
  const auto there = pages.there();
  const std::size_t end = (std::size_t{2} << 20) / page;
  CHECK_FALSE(there[0]);
  CHECK(std::all_of(there.begin() + 2, there.begin() + static_cast<std::ptrdiff_t>(end),
                    [](bool is) { return is; }));
  CHECK(std::none_of(there.begin() + static_cast<std::ptrdiff_t>(end) + 1, there.end(),
                     [](bool is) { return is; }));
  CHECK(begin[16 * page] == std::byte{7});
  CHECK(begin[17 * page] == std::byte{0});
}

TEST_CASE("where large memory has no room for large pages its ends are there at once") {
  if (!can_fault_in()) {
    WARN("skipped: this kernel cannot");
    return;
  }
  constexpr std::size_t kLarge = std::size_t{2} << 20;
  const Pages pages(6 * kLarge);
  const auto odd = kLarge - reinterpret_cast<std::uintptr_t>(pages.begin) % kLarge;
  auto* const aligned = static_cast<std::byte*>(pages.begin) + odd % kLarge;
  auto* const begin = aligned + kLarge / 2;
  LargeBlock::prefer_large_pages(begin, 4 * kLarge);
  const auto is_there = [&](const std::byte* byte) -> bool {
    return pages.there()[static_cast<std::size_t>(byte - static_cast<std::byte*>(pages.begin)) /
                         pages.page()];
  };
  CHECK(is_there(begin));
  CHECK(is_there(aligned + kLarge - 1));
  CHECK_FALSE(is_there(aligned + kLarge));
  CHECK_FALSE(is_there(aligned + 4 * kLarge - 1));
  CHECK(is_there(aligned + 4 * kLarge));
  CHECK(is_there(begin + 4 * kLarge - 1));
}

TEST_CASE("a large block that nobody wants any more is freed when its age is looked at again") {
  constexpr std::size_t kSize = LargeBlock::kLeast;
  const auto use_one = [] {
    Bytes bytes;
    bytes.extend(kSize + kSize / 2);
  };
  // One that is kept has more room than was asked for; a fresh one has not.
  const auto is_kept = [] {
    std::size_t capacity = kSize;
    auto* const block = LargeBlock::take(capacity);
    LargeBlock::give_back(block, capacity);
    return capacity > kSize;
  };
  LargeBlock::free_kept();
  use_one();
  LargeBlock::age();
  CHECK(is_kept());
  LargeBlock::age();
  LargeBlock::age();
  CHECK_FALSE(is_kept());
}

TEST_CASE("bytes that grow into a large block keep what they had") {
  Bytes bytes;
  for (std::size_t i = 0; i < 2 * LargeBlock::kLeast / sizeof i; ++i) bytes.append(&i, sizeof i);
  for (std::size_t i = 0; i < bytes.size() / sizeof i; ++i) {
    std::size_t seen = 0;
    std::memcpy(&seen, bytes.data() + i * sizeof i, sizeof i);
    REQUIRE(seen == i);
  }
}
