#include <knee/detail/aggregate.h>

#include <any>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

using knee::detail::aggregate_flaw;
using knee::detail::AggregateFlaw;

namespace {

struct Point {
  double x, y;
};
enum class Color : std::uint8_t { kRed };

// What a counter of fields easily takes for an array, a base class or a bit-field.
struct Ordinary {
  char a;
  Point point;
  std::array<int, 3> array;
  std::pair<std::string, std::string> pair;
  std::optional<std::chrono::seconds> optional;
  std::variant<int, std::string> variant;
  std::map<int, Point> map;
  std::function<void()> function;
  Color color;
  bool flag;
};
struct StartsWithAny {
  std::any any;
  int number;
};
struct StartsWithOptional {
  std::optional<std::string> optional;
  int number;
};
struct MoveOnly {
  std::unique_ptr<int> pointer;
  int number;
};
struct OneField {
  std::vector<int> field;
};
struct OneArray {
  int field[4];
};
struct ArrayOfClass {
  Point corners[2];
  int number;
};
struct ArrayLast {
  int number;
  std::string names[2];
};
struct MoveOnlyArray {
  std::unique_ptr<int> pointers[3];
};
struct Empty {};
struct Base {
  int a;
};
struct Derived : Base {
  int b;
};
struct DerivedOfEmpty : Empty {
  int b;
};
struct EmptyOfEmpty : Empty {};
struct DerivedMoveOnly : MoveOnly {
  int b;
};
struct Bits {
  std::uint32_t a : 4;
  std::uint32_t b : 4;
  std::uint32_t c : 24;
  double d;
};
struct Tree {
  int value;
  std::vector<Tree> kids;
};

}  // namespace

TEST_CASE("ordinary aggregates are found without flaw") {
  STATIC_REQUIRE(aggregate_flaw<Ordinary>() == AggregateFlaw::kNone);
  STATIC_REQUIRE(aggregate_flaw<StartsWithAny>() == AggregateFlaw::kNone);
  STATIC_REQUIRE(aggregate_flaw<StartsWithOptional>() == AggregateFlaw::kNone);
  STATIC_REQUIRE(aggregate_flaw<MoveOnly>() == AggregateFlaw::kNone);
  STATIC_REQUIRE(aggregate_flaw<OneField>() == AggregateFlaw::kNone);
  STATIC_REQUIRE(aggregate_flaw<Tree>() == AggregateFlaw::kNone);
  STATIC_REQUIRE(aggregate_flaw<Empty>() == AggregateFlaw::kNone);
}

TEST_CASE("C arrays are found wherever they stand") {
  STATIC_REQUIRE(aggregate_flaw<OneArray>() == AggregateFlaw::kArrayField);
  STATIC_REQUIRE(aggregate_flaw<ArrayOfClass>() == AggregateFlaw::kArrayField);
  STATIC_REQUIRE(aggregate_flaw<ArrayLast>() == AggregateFlaw::kArrayField);
  STATIC_REQUIRE(aggregate_flaw<MoveOnlyArray>() == AggregateFlaw::kArrayField);
}

TEST_CASE("base classes are found, empty ones too") {
  STATIC_REQUIRE(aggregate_flaw<Derived>() == AggregateFlaw::kBaseClass);
  STATIC_REQUIRE(aggregate_flaw<DerivedOfEmpty>() == AggregateFlaw::kBaseClass);
  STATIC_REQUIRE(aggregate_flaw<EmptyOfEmpty>() == AggregateFlaw::kBaseClass);
  STATIC_REQUIRE(aggregate_flaw<DerivedMoveOnly>() == AggregateFlaw::kBaseClass);
}

TEST_CASE("bit-fields that share storage are found") {
  STATIC_REQUIRE(aggregate_flaw<Bits>() == AggregateFlaw::kBitField);
}
