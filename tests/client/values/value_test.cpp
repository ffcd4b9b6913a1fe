#include <knee/object.h>
#include <knee/value.h>

#include <array>
#include <catch2/catch.hpp>
#include <complex>
#include <cstdint>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

using Catch::Contains;
using knee::Error;
using knee::Value;
using Kind = knee::Value::Kind;

namespace {

template <class T>
void comes_back(const T& value, Kind kind) {
  const Value made(value);
  CHECK(made.kind() == kind);
  CHECK(made.get<T>() == value);
}

}  // namespace

TEST_CASE("C++ values become Values and come back") {
  comes_back(true, Kind::boolean);
  comes_back(-3, Kind::integer);
  comes_back(std::numeric_limits<std::int64_t>::min(), Kind::integer);
  comes_back(std::numeric_limits<std::uint64_t>::max(), Kind::big_integer);
  comes_back(2.5, Kind::real);
  comes_back(std::string("ü\0z", 4), Kind::text);
  comes_back(std::vector<double>{1.5, 2.5}, Kind::buffer);
  comes_back(std::vector<std::uint8_t>{1, 255}, Kind::buffer);
  comes_back(std::vector<std::complex<double>>{{1, 2}}, Kind::buffer);
  comes_back(std::vector<std::byte>{std::byte{7}}, Kind::bytes);
  comes_back(std::vector<char>{'a', '\0'}, Kind::bytes);
  comes_back(std::vector<bool>{true, false}, Kind::list);
  comes_back(std::vector<std::string>{"a", ""}, Kind::list);
  comes_back(std::vector<std::vector<int>>{{1, 2}, {}}, Kind::list);
  comes_back(std::set<int>{1, 2}, Kind::list);
  comes_back(std::list<std::string>{"x"}, Kind::list);
  comes_back(std::map<std::string, std::vector<int>>{{"a", {1}}, {"b", {}}}, Kind::dict);
  comes_back(std::pair<int, std::string>{1, "one"}, Kind::tuple);
  comes_back(std::tuple<int, double, bool>{1, 2.0, true}, Kind::tuple);
  comes_back(std::optional<int>{4}, Kind::integer);
  comes_back(std::optional<int>{}, Kind::none);
  CHECK(Value().is_none());
  CHECK(Value(nullptr).is_none());
  CHECK(Value("text").as_text() == "text");
  CHECK(Value(std::array<int, 2>{3, 4}).get<std::vector<int>>() == std::vector{3, 4});
}

TEST_CASE("numbers become other types of numbers if they fit") {
  CHECK(Value(3).get<double>() == 3.0);
  CHECK(Value(true).get<int>() == 1);
  CHECK(Value(std::vector<int>{1, 2}).get<std::vector<double>>() == std::vector{1.0, 2.0});
  CHECK(Value(std::vector<double>{1, 2}).get<std::vector<int>>() == std::vector{1, 2});
  CHECK(Value(std::vector<int>{1, 2}).get<std::set<int>>() == std::set{1, 2});
  CHECK_THROWS_AS(Value(300).get<std::uint8_t>(), Error);
  CHECK_THROWS_AS(Value(-1).get<unsigned>(), Error);
  CHECK_THROWS_AS(Value(std::vector<double>{1.5}).get<std::vector<int>>(), Error);
  CHECK_THROWS_AS(Value(std::vector<double>{1e300}).get<std::vector<std::int64_t>>(), Error);
  CHECK_THROWS_AS(Value(std::vector<double>{std::nan("")}).get<std::vector<int>>(), Error);
  CHECK_THROWS_AS(Value::big_integer("18446744073709551616").get<std::uint64_t>(), Error);
  CHECK(Value::big_integer("18446744073709551616").get<double>() == Approx(18446744073709551616.0));
  CHECK(Value::big_integer("-12") == Value(-12));
  CHECK_THROWS_AS(Value::big_integer("1x"), Error);
}

TEST_CASE("a Value that is of another kind says of which") {
  try {
    (void)Value("three").get<int>();
    FAIL("no exception");
  } catch (const Error& error) {
    CHECK(error.kind() == Error::Kind::usage);
    CHECK_THAT(error.what(), Contains("an integer") && Contains("a text"));
  }
  CHECK_THROWS_AS(Value(1).get<std::vector<int>>(), Error);
  CHECK_THROWS_AS((Value(std::vector{1, 2, 3}).get<std::pair<int, int>>()), Error);
  CHECK_THROWS_AS(Value().get<knee::Object>(), Error);
}

TEST_CASE("a list of numbers is a list, however it is kept") {
  const auto numbers = Value::list_of(std::vector<std::int64_t>{1, 2});
  CHECK(numbers.kind() == Kind::list);
  CHECK(numbers == Value::list({1, 2}));
  CHECK(numbers.as_list().size() == 2);
  CHECK_FALSE(numbers == Value(std::vector<std::int64_t>{1, 2}));  // that is an array
}

TEST_CASE("an rvalue vector is not copied") {
  std::vector<double> numbers(100);
  const auto* memory = reinterpret_cast<const std::byte*>(numbers.data());
  CHECK(Value(std::move(numbers)).as_buffer().content.data == memory);
}

TEST_CASE("the last value that holds a vector gives it away, and others copy it") {
  Value value(std::vector<double>{1, 2});
  const auto* memory = value.as_buffer().content.data;
  const auto is_memory = [&](const std::vector<double>& numbers) {
    return reinterpret_cast<const std::byte*>(numbers.data()) == memory;
  };
  CHECK_FALSE(is_memory(value.get<std::vector<double>>()));
  Value other = value;
  CHECK_FALSE(is_memory(std::move(other).get<std::vector<double>>()));
  other = Value();
  CHECK(value.get<std::vector<double>>() == std::vector<double>{1, 2});
  // As numbers of another kind they are converted.
  other = value;
  CHECK(std::move(other).get<std::vector<int>>() == std::vector{1, 2});
  other = Value();
  const auto numbers = std::move(value).get<std::vector<double>>();
  CHECK(is_memory(numbers));
  CHECK(numbers == std::vector<double>{1, 2});
}

TEST_CASE("a buffer whose shape is not its size is refused") {
  const auto content = Value::bytes("12345678").content();
  using Buffer = Value::Buffer;
  CHECK(Value::buffer({Buffer::Element::int16, {2, 2}, content}).get<std::vector<int>>().size() ==
        4);
  CHECK_THROWS_AS(Value::buffer({Buffer::Element::int16, {3}, content}), Error);
  const auto huge = std::uint64_t{1} << 63;
  CHECK_THROWS_AS(Value::buffer({Buffer::Element::int16, {huge, 4}, content}), Error);
  CHECK_THROWS_AS(Value::buffer({Buffer::Element::int16, {2, 2}, content, true}), Error);
}

TEST_CASE("a callback is called by Values, and says what it does not take") {
  const auto add = knee::callback([](int a, int b) { return a + b; });
  CHECK(add(1, 2).get<int>() == 3);
  CHECK_THROWS_AS(add(1).get<int>(), Error);
  CHECK_THROWS_AS(add(1, "two").get<int>(), Error);
  CHECK_THROWS_AS(add(1, knee::named("b", 2)).get<int>(), Error);
  CHECK_THROWS_AS(add.attr("name").get<int>(), Error);
  CHECK(knee::callback([](const std::string&) {})("x").get<Value>().is_none());
}
