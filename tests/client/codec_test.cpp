#include <knee/codec.h>

#include <catch2/catch.hpp>
#include <cereal/types/base_class.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/polymorphic.hpp>
#include <chrono>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

using knee::detail::Bytes;
using knee::detail::ContextCodec;
using knee::detail::decode;
using knee::detail::DecodeError;
using knee::detail::encode;
using knee::detail::encode_arguments;
using knee::detail::invoke_encoded;

namespace {

enum class Color : std::uint8_t { kRed, kGreen = 200 };
enum Plain { kZero, kOne };

struct Point {
  double x, y;
  bool operator==(const Point&) const = default;
};
struct Padded {
  char tag;
  double value;
  bool operator==(const Padded&) const = default;
};
struct Empty {
  bool operator==(const Empty&) const = default;
};
struct Inner {
  int number;
  std::string text;
  bool operator==(const Inner&) const = default;
};
struct Outer {
  Inner inner;
  std::vector<Inner> many;
  std::array<Point, 2> points;
  std::optional<std::map<std::string, Inner>> maybe;
  Color color;
  std::byte byte;
  bool flag;
  Empty empty;
  bool operator==(const Outer&) const = default;
};
struct Tree {
  int value;
  std::vector<Tree> kids;
  bool operator==(const Tree&) const = default;
};

// An aggregate that has a function of its own: it must win over the listing of the fields.
struct Scaled {
  double value;
  double cache = -1;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value);
  }
};
struct Split {
  int stored;
};
template <class Archive>
void save(Archive& archive, const Split& split) {
  archive(split.stored + 1);
}
template <class Archive>
void load(Archive& archive, Split& split) {
  archive(split.stored);
}
struct Minimal {
  int value;
};
template <class Archive>
std::string save_minimal(const Archive&, const Minimal& minimal) {
  return std::to_string(minimal.value);
}
template <class Archive>
void load_minimal(const Archive&, Minimal& minimal, const std::string& text) {
  minimal.value = std::stoi(text);
}
// cereal outside, plain aggregates, C arrays, named and binary data inside.
class Mixed {
 public:
  Inner inner{1, "one"};
  std::vector<Point> points{{1, 2}, {3, 4}};
  int array[3] = {7, 8, 9};
  double raw[2] = {0.5, 0.25};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(inner), points, array);
    archive& cereal::binary_data(raw, sizeof raw);
  }
};
struct MixedChild : Mixed {
  int extra = 3;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Mixed>(this), extra);
  }
};
struct Versioned {
  int value;
  template <class Archive>
  void serialize(Archive& archive, std::uint32_t version) {
    archive(value);
    seen = version;
  }
  std::uint32_t seen = 0;
};
struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
};
struct Square : Shape {
  double side = 0;
  double area() const override { return side * side; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(side);
  }
};

// A stand-in for what needs the context, such as a capability.
struct Handle {
  int id = 0;
  std::vector<int>* table = nullptr;
};

template <class T>
Bytes encoded(const T& value) {
  Bytes bytes;
  encode(bytes, value);
  return bytes;
}

template <class T>
T round_trip(const T& value) {
  const Bytes bytes = encoded(value);
  return decode<T>(bytes);
}

template <class T>
bool survives(const T& value) {
  return round_trip(value) == value;
}

// What claims `count` elements and holds `rest` bytes.
Bytes claim(std::uint64_t count, std::size_t rest = 0) {
  Bytes bytes;
  bytes.append(&count, sizeof count);
  for (std::size_t i = 0; i < rest; ++i) bytes.append("", 1);
  return bytes;
}

}  // namespace

CEREAL_CLASS_VERSION(Versioned, 5)
CEREAL_REGISTER_TYPE(Square)
CEREAL_REGISTER_POLYMORPHIC_RELATION(Shape, Square)

template <>
struct knee::detail::ContextCodec<Handle> {
  static constexpr bool kDefined = true;
  static void write(ByteSink& sink, const Handle& handle) {
    auto& table = *static_cast<std::vector<int>*>(sink.context);
    knee::detail::write(sink, table.size());
    table.push_back(handle.id);
  }
  static void read(ByteSource& source, Handle& handle) {
    std::size_t index = 0;
    knee::detail::read(source, index);
    handle.table = static_cast<std::vector<int>*>(source.context);
    handle.id = handle.table->at(index);
  }
};

TEST_CASE("numbers, bools and enums survive") {
  REQUIRE(survives(std::numeric_limits<std::int8_t>::min()));
  REQUIRE(survives(std::numeric_limits<std::uint64_t>::max()));
  REQUIRE(survives(-0.1f));
  REQUIRE(survives(std::numeric_limits<double>::denorm_min()));
  REQUIRE(std::isnan(round_trip(std::nan(""))));
  REQUIRE(survives(3.0L / 7));
  REQUIRE(survives(true));
  REQUIRE(survives(Color::kGreen));
  REQUIRE(survives(kOne));
  REQUIRE(survives(std::byte{0xab}));
  REQUIRE(survives(U'\U0001F426'));
}

TEST_CASE("numbers are little endian and as wide as in memory") {
  const Bytes bytes = encoded(std::uint32_t{0x01020304});
  REQUIRE(bytes.size() == 4);
  REQUIRE(bytes.data()[0] == std::byte{4});
  REQUIRE(bytes.data()[3] == std::byte{1});
}

TEST_CASE("equal long doubles have equal bytes, whatever their padding holds") {
  long double one, other;
  std::memset(&one, 0x00, sizeof one);
  std::memset(&other, 0xff, sizeof other);
  one = other = 1.5L;
  const Bytes first = encoded(std::vector{one}), second = encoded(std::vector{other});
  REQUIRE(first.size() == second.size());
  REQUIRE(std::memcmp(first.data(), second.data(), first.size()) == 0);
}

TEST_CASE("standard types survive") {
  REQUIRE(survives(std::string()));
  REQUIRE(survives(std::string("nul \0 inside", 12)));
  REQUIRE(survives(std::wstring(L"wide")));
  REQUIRE(survives(std::vector<double>{}));
  REQUIRE(survives(std::vector<std::uint16_t>{1, 2, 65535}));
  REQUIRE(survives(std::vector<bool>{true, false, true}));
  REQUIRE(survives(std::vector<std::vector<std::string>>{{"a"}, {}, {"b", "c"}}));
  REQUIRE(survives(std::array<std::string, 2>{"x", "y"}));
  REQUIRE(survives(std::array<bool, 3>{true, false, true}));
  REQUIRE(survives(std::array<int, 0>{}));
  REQUIRE(survives(std::pair<int, std::string>(1, "p")));
  REQUIRE(survives(std::tuple<>()));
  REQUIRE(survives(std::tuple<int, std::string, double>(1, "t", 2.5)));
  REQUIRE(survives(std::optional<std::string>("o")));
  REQUIRE(survives(std::optional<std::string>()));
  REQUIRE(survives(std::complex<double>(1, -2)));
  REQUIRE(survives(std::complex<long double>(1, -2)));
  REQUIRE(survives(std::vector<std::complex<float>>{{1, 2}, {3, 4}}));
  REQUIRE(survives(std::map<std::string, std::vector<int>>{{"k", {1, 2}}, {"l", {}}}));
  REQUIRE(survives(std::unordered_map<int, std::string>{{1, "a"}, {2, "b"}}));
  REQUIRE(survives(std::set<std::string>{"a", "b"}));
  REQUIRE(survives(std::unordered_set<int>{1, 2, 3}));
  REQUIRE(survives(std::multimap<int, int>{{1, 1}, {1, 2}}));
  REQUIRE(survives(std::vector<std::multimap<int, int>>{{{1, 1}, {1, 2}}}));
  REQUIRE(survives(std::deque<int>{1, 2}));
  REQUIRE(survives(std::list<std::string>{"l", "m"}));
  REQUIRE(survives(std::variant<std::monostate, int, std::string>("v")));
  REQUIRE(survives(std::variant<std::monostate, int>()));
  REQUIRE(survives(std::bitset<70>(0x1234567)));
  REQUIRE(survives(std::chrono::milliseconds(1500)));
  REQUIRE(survives(std::chrono::system_clock::time_point(std::chrono::hours(5))));
  REQUIRE(*round_trip(std::make_shared<Inner>(Inner{4, "four"})) == Inner{4, "four"});
}

TEST_CASE("plain aggregates need nothing, also inside each other and inside containers") {
  REQUIRE(survives(Point{1, 2}));
  REQUIRE(survives(Padded{'t', 2.5}));
  REQUIRE(survives(Empty{}));
  REQUIRE(survives(std::vector<Empty>(1000)));
  REQUIRE(survives(std::vector<std::monostate>(1000)));
  REQUIRE(survives(std::vector<Point>{{1, 2}, {3, 4}}));
  REQUIRE(survives(std::vector<Padded>{{'a', 2}, {'b', 4}}));
  REQUIRE(survives(std::map<int, Point>{{1, {2, 3}}}));
  REQUIRE(survives(Outer{{1, "one"},
                         {{2, "two"}, {3, "three"}},
                         {{{1, 2}, {3, 4}}},
                         {{{"key", {4, "four"}}}},
                         Color::kGreen,
                         std::byte{9},
                         true,
                         {}}));
  REQUIRE(survives(Tree{1, {{2, {}}, {3, {{4, {}}}}}}));
}

TEST_CASE("the padding of an aggregate does not travel") {
  REQUIRE(encoded(Padded{'t', 1}).size() == 1 + sizeof(double));
  REQUIRE(encoded(Point{1, 2}).size() == sizeof(Point));
}

TEST_CASE("the user's own functions win over the listing of the fields") {
  const Scaled scaled = round_trip(Scaled{2, 5});
  REQUIRE(scaled.value == 2);
  REQUIRE(scaled.cache == -1);
  REQUIRE(round_trip(Split{1}).stored == 2);
  REQUIRE(round_trip(Minimal{12}).value == 12);
  REQUIRE(encoded(Minimal{12}).size() == 8 + 2);
  REQUIRE(round_trip(std::vector<Scaled>{{3, 4}, {5, 6}})[1].value == 5);
}

TEST_CASE("the user's functions may pass on aggregates, C arrays, binary data and base classes") {
  MixedChild child;
  child.inner = {5, "five"};
  child.points = {{9, 9}};
  child.array[2] = 77;
  child.raw[1] = 1e9;
  child.extra = 4;
  const MixedChild back = round_trip(child);
  REQUIRE(back.inner == child.inner);
  REQUIRE(back.points == child.points);
  REQUIRE(back.array[2] == 77);
  REQUIRE(back.raw[1] == 1e9);
  REQUIRE(back.extra == 4);
}

TEST_CASE("class versions travel") {
  const Versioned back = round_trip(Versioned{3});
  REQUIRE(back.value == 3);
  REQUIRE(back.seen == 5);
}

TEST_CASE("polymorphic pointers keep their type, shared pointers stay shared") {
  auto square = std::make_shared<Square>();
  square->side = 3;
  const std::vector<std::shared_ptr<Shape>> back =
      round_trip(std::vector<std::shared_ptr<Shape>>{square, square});
  REQUIRE(back[0]->area() == 9);
  REQUIRE(back[0] == back[1]);
  REQUIRE(round_trip(std::make_unique<Inner>(Inner{1, "u"}))->text == "u");
}

TEST_CASE("a type may be encoded by help of what stands beside the bytes") {
  std::vector<int> table;
  Bytes bytes;
  encode(bytes, std::vector<Handle>{{41}, {42}}, &table);
  REQUIRE(table == std::vector<int>{41, 42});
  const auto back = decode<std::vector<Handle>>(bytes, &table);
  REQUIRE(back[1].id == 42);
  REQUIRE(back[1].table == &table);

  std::vector<int> second;
  Bytes through_cereal;
  encode(through_cereal, std::map<int, Handle>{{1, {43}}}, &second);
  REQUIRE(decode<std::map<int, Handle>>(through_cereal, &second).at(1).id == 43);
}

TEST_CASE("values decode from any alignment") {
  Bytes bytes;
  bytes.append("x", 1);
  encode(bytes, std::vector<double>{1, 2, 3});
  REQUIRE(decode<std::vector<double>>(bytes.view().subspan(1)) == std::vector<double>{1, 2, 3});
}

TEST_CASE("a size above the bytes that are left is refused before anything is allocated") {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 60;
  for (const std::uint64_t count : {kHuge, ~std::uint64_t{0}, std::uint64_t{101}}) {
    const Bytes bytes = claim(count, 100);
    REQUIRE_THROWS_AS(decode<std::string>(bytes), DecodeError);
    REQUIRE_THROWS_AS(decode<std::vector<double>>(bytes), DecodeError);
    REQUIRE_THROWS_AS(decode<std::vector<bool>>(bytes), DecodeError);
    REQUIRE_THROWS_AS(decode<std::vector<Inner>>(bytes), DecodeError);
    REQUIRE_THROWS_AS(decode<std::vector<Scaled>>(bytes), DecodeError);
    REQUIRE_THROWS_AS(decode<std::vector<Empty>>(bytes), DecodeError);
    REQUIRE_THROWS_AS(decode<std::list<int>>(bytes), DecodeError);
    REQUIRE_THROWS_AS((decode<std::map<int, int>>(bytes)), DecodeError);
  }
}

TEST_CASE("bytes that are cut off anywhere are refused") {
  const Outer outer{{1, "one"}, {{2, "two"}}, {}, {{{"k", {}}}}, Color::kRed, {}, true, {}};
  const Bytes bytes = encoded(outer);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    REQUIRE_THROWS_AS(decode<Outer>(bytes.view().first(length)), DecodeError);
}

TEST_CASE("bytes left over are refused, and the message counts them") {
  Bytes bytes = encoded(1);
  bytes.append("xyz", 3);
  REQUIRE_THROWS_WITH(decode<int>(bytes), Catch::Contains("3 bytes are left over at byte 4 of 7"));
}

TEST_CASE("a bool that is neither 0 nor 1 and an unknown variant are refused") {
  const Bytes two = encoded(std::uint8_t{2});
  REQUIRE_THROWS_AS(decode<bool>(two), DecodeError);
  REQUIRE_THROWS_AS((decode<std::array<bool, 1>>(two)), DecodeError);
  REQUIRE_THROWS_AS(decode<std::optional<int>>(two), DecodeError);
  using Variant = std::variant<int, float>;
  REQUIRE_THROWS_AS(decode<Variant>(encoded(std::int32_t{2})), DecodeError);
  REQUIRE_THROWS_AS(decode<Variant>(encoded(std::int32_t{-1})), DecodeError);
}

TEST_CASE("random bytes are decoded or refused, nothing else") {
  std::mt19937 random(1);
  int refused = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::uint8_t> noise(random() % 64);
    for (auto& byte : noise) byte = random() % 4 == 0 ? static_cast<std::uint8_t>(random() % 8) : 0;
    try {
      (void)decode<Outer>(std::as_bytes(std::span(noise)));
    } catch (const DecodeError&) {
      ++refused;
    }
    try {
      (void)decode<std::tuple<std::map<int, Tree>, Mixed>>(std::as_bytes(std::span(noise)));
    } catch (const DecodeError&) {
      ++refused;
    }
  }
  REQUIRE(refused > 0);
}

TEST_CASE("is_value answers without failing to compile") {
  STATIC_REQUIRE(knee::Sendable<int>);
  STATIC_REQUIRE(knee::Sendable<Outer>);
  STATIC_REQUIRE(knee::Sendable<Tree>);
  STATIC_REQUIRE(knee::Sendable<Mixed>);
  STATIC_REQUIRE_FALSE(knee::Sendable<int*>);
  STATIC_REQUIRE_FALSE(knee::Sendable<int&>);
  STATIC_REQUIRE_FALSE(knee::Sendable<std::string_view>);
  STATIC_REQUIRE_FALSE(knee::Sendable<std::map<int, std::vector<const char*>>>);
  STATIC_REQUIRE_FALSE(knee::Sendable<std::runtime_error>);
}

namespace {

std::uint64_t add(std::uint64_t a, std::uint64_t b) {
  return a + b;
}
std::string greet(const std::string& name, int times) noexcept {
  std::string text;
  for (int i = 0; i < times; ++i) text += name;
  return text;
}
int calls_of_touch = 0;
void touch() {
  ++calls_of_touch;
}
int take(std::unique_ptr<int> pointer, std::vector<int>&& more) {
  const std::vector<int> owned = std::move(more);
  return *pointer + owned.at(0);
}
const Inner& same(const Inner& inner) {
  static Inner kept;
  return kept = inner;
}
[[noreturn]] int fail(int code) {
  throw std::runtime_error("code " + std::to_string(code));
}

template <auto function, class... Args>
auto call(const Args&... args) {
  Bytes arguments, result;
  encode_arguments<decltype(function)>(arguments, args...);
  invoke_encoded<function>(arguments, result);
  using Result = std::remove_cvref_t<knee::detail::ResultOf<std::remove_cv_t<decltype(function)>>>;
  return decode<Result>(result);
}

}  // namespace

TEST_CASE("a call's arguments travel as the types of the parameters") {
  REQUIRE(call<&add>(1, short{2}) == 3);
  REQUIRE(call<&greet>("ab", 2) == "abab");
  REQUIRE(call<&same>(Inner{3, "x"}) == Inner{3, "x"});
}

TEST_CASE("captureless lambdas are called like functions") {
  REQUIRE(call<[](const std::vector<int>& all) { return all.size(); }>(std::vector<int>{1, 2}) ==
          2);
  constexpr auto lambda = [](double x) noexcept { return x / 2; };
  Bytes arguments, result;
  encode_arguments<std::remove_cv_t<decltype(lambda)>>(arguments, 3);
  knee::detail::invoke_encoded_with(lambda, arguments, result);
  REQUIRE(decode<double>(result) == 1.5);
}

TEST_CASE("a function without arguments and result writes no bytes") {
  Bytes arguments, result;
  encode_arguments<decltype(&touch)>(arguments);
  const int before = calls_of_touch;
  invoke_encoded<&touch>(arguments, result);
  REQUIRE(calls_of_touch == before + 1);
  REQUIRE(arguments.empty());
  REQUIRE(result.empty());
}

TEST_CASE("arguments move into their parameters") {
  Bytes arguments, result;
  encode_arguments<decltype(&take)>(arguments, std::make_unique<int>(40), std::vector<int>{2});
  invoke_encoded<&take>(arguments, result);
  REQUIRE(decode<int>(result) == 42);
}

TEST_CASE("what the function throws reaches the caller") {
  Bytes arguments, result;
  encode_arguments<decltype(&fail)>(arguments, 7);
  REQUIRE_THROWS_WITH(invoke_encoded<&fail>(arguments, result), "code 7");
  REQUIRE(result.empty());
}

TEST_CASE("damaged arguments are refused before the call") {
  Bytes arguments, result;
  const int before = calls_of_touch;
  arguments.append("x", 1);
  REQUIRE_THROWS_AS(invoke_encoded<&touch>(arguments, result), DecodeError);
  REQUIRE(calls_of_touch == before);
  REQUIRE_THROWS_AS(invoke_encoded<&add>(arguments, result), DecodeError);
}

TEST_CASE("two small arguments need no allocation") {
  Bytes arguments;
  encode_arguments<decltype(&add)>(arguments, 1, 2);
  REQUIRE(arguments.size() == 16);
  REQUIRE(arguments.capacity() == Bytes::kInline);
}
