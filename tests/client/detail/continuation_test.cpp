#include <knee/detail/continuation.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

using knee::detail::SmallFunction;

namespace {

using Continuation = SmallFunction<void(int&)>;

static_assert(sizeof(Continuation) == 32 + sizeof(void*));
static_assert(std::is_nothrow_move_constructible_v<Continuation>);
static_assert(!std::is_copy_constructible_v<Continuation>);
static_assert(!std::is_constructible_v<Continuation, void (*)(std::string)>);

struct Counts {
  int alive = 0;
  int destroyed = 0;
};

// Counts the objects that were not moved from. `Padding` chooses inline or heap.
template <std::size_t Padding>
class Tracked {
 public:
  explicit Tracked(Counts& counts) : counts_(&counts) { ++counts.alive; }
  Tracked(Tracked&& other) noexcept : counts_(std::exchange(other.counts_, nullptr)) {}
  Tracked(const Tracked&) = delete;
  ~Tracked() {
    if (counts_ == nullptr) return;
    --counts_->alive;
    ++counts_->destroyed;
  }
  void operator()(int& value) { value += counts_->alive; }

 private:
  Counts* counts_;
  std::array<char, Padding> padding_{};
};

struct ThrowsOnCopy {
  ThrowsOnCopy() = default;
  ThrowsOnCopy(const ThrowsOnCopy&) { throw std::runtime_error("no copy"); }
  void operator()(int&) {}
};

template <std::size_t Padding>
void check_lifetime() {
  Counts counts;
  int value = 0;
  {
    Continuation first = Tracked<Padding>(counts);
    REQUIRE(first);
    first(value);
    REQUIRE(value == 1);
    Continuation second = std::move(first);
    REQUIRE_FALSE(first);
    REQUIRE(second);
    REQUIRE(counts.alive == 1);
    second(value);
    REQUIRE(value == 2);
    first = std::move(second);
    REQUIRE(counts.destroyed == 0);
    std::vector<Continuation> many;
    many.push_back(std::move(first));
    for (int i = 0; i < 100; ++i) many.emplace_back(Tracked<Padding>(counts));
    REQUIRE(counts.alive == 101);
    many[0] = std::move(many[1]);
    REQUIRE(counts.alive == 100);
    many[0] = nullptr;
    REQUIRE(counts.alive == 99);
  }
  REQUIRE(counts.alive == 0);
  REQUIRE(counts.destroyed == 101);
}

}  // namespace

TEST_CASE("a small callable is destroyed exactly once") {
  check_lifetime<8>();
}
TEST_CASE("a large callable is destroyed exactly once") {
  check_lifetime<100>();
}

TEST_CASE("a callable may be move-only and an empty function says so") {
  SmallFunction<int(std::unique_ptr<int>)> function =
      [held = std::make_unique<int>(40)](std::unique_ptr<int> more) { return *held + *more; };
  REQUIRE(function(std::make_unique<int>(2)) == 42);
  function = nullptr;
  REQUIRE_FALSE(function);
  REQUIRE_FALSE(SmallFunction<void()>());
}

TEST_CASE("a callable that throws while it is taken over leaves nothing behind") {
  const ThrowsOnCopy original;
  REQUIRE_THROWS_WITH(Continuation(original), "no copy");
}

TEST_CASE("a callable whose move may throw stays in one place") {
  struct Pinned {
    Pinned() = default;
    Pinned(Pinned&&) noexcept(false) {
      REQUIRE_FALSE(placed);
      placed = true;
    }
    void operator()(int& value) { value = 7; }
    bool placed = false;
  };
  Continuation first = Pinned();
  Continuation second = std::move(first);
  int value = 0;
  second(value);
  REQUIRE(value == 7);
}

TEST_CASE("an over-aligned callable is kept aligned") {
  struct alignas(64) Aligned {
    bool operator()() const { return reinterpret_cast<std::uintptr_t>(this) % 64 == 0; }
  };
  SmallFunction<bool()> function = Aligned();
  SmallFunction<bool()> moved = std::move(function);
  REQUIRE(moved());
}

TEST_CASE("what a callable throws reaches the caller, who can call again") {
  int calls = 0;
  SmallFunction<void()> function = [&calls] {
    if (++calls == 1) throw std::runtime_error("first");
  };
  REQUIRE_THROWS_WITH(function(), "first");
  function();
  REQUIRE(calls == 2);
}

TEST_CASE("a callable may destroy the function it is called through last") {
  struct Owner {
    SmallFunction<void()> function;
  } owner;
  bool empty_inside = false;
  struct Watcher {
    Owner* owner;
    bool* empty;
    bool active = true;
    Watcher(Owner* o, bool* e) : owner(o), empty(e) {}
    Watcher(Watcher&& other) noexcept
        : owner(other.owner), empty(other.empty), active(std::exchange(other.active, false)) {}
    ~Watcher() {
      if (active) *empty = !owner->function;
    }
    void operator()() {}
  };
  owner.function = Watcher(&owner, &empty_inside);
  owner.function = nullptr;
  REQUIRE(empty_inside);
}

TEST_CASE("function pointers and results convert") {
  SmallFunction<double(int), 8> function = +[](int x) { return x * 2; };
  REQUIRE(function(21) == 42.0);
}
