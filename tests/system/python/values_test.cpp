#include "tests/system/python/session.h"

#include <complex>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

using namespace knee::test;
using Catch::Contains;
using knee::Python;
using knee::Value;

namespace {

bool has_numpy(const Python& py) {
  const bool has = py.module("importlib.util").call("find_spec", "numpy").get<Value>().kind() ==
                   Value::Kind::object;
  if (!has) WARN("skipped: numpy is not installed");
  return has;
}

template <class T>
void comes_back(const Python& py, const T& value) {
  CHECK(py.eval("lambda x: x")(value).template get<T>() == value);
}

}  // namespace

TEST_CASE("values travel to Python and back") {
  with_python([](const Python& py, SlaveProcess&) {
    comes_back(py, true);
    comes_back(py, std::int64_t{-5'000'000'000});
    comes_back(py, std::uint64_t{18'446'744'073'709'551'615U});
    comes_back(py, 0.1);
    comes_back(py, std::string("käse\0\n", 7));
    comes_back(py, std::vector<std::string>{"a", "b"});
    comes_back(py, std::map<std::string, std::vector<int>>{{"x", {1, 2}}, {"y", {}}});
    comes_back(py, std::tuple<int, std::string, bool>{1, "two", false});
    comes_back(py, std::vector<std::byte>{std::byte{0}, std::byte{255}});
    CHECK(py.eval("None").get<Value>().is_none());
    CHECK(py.eval("2**100").get<Value>().as_digits() == "1267650600228229401496703205376");
    CHECK(py.eval("lambda x: x - 1")(Value::big_integer("1267650600228229401496703205377"))
              .get<Value>()
              .as_digits() == "1267650600228229401496703205376");
    CHECK(py.eval("{1, 2}").get<std::vector<int>>().size() == 2);
    CHECK(py.eval("bytearray(b'ab')").get<std::string>() == "ab");
    CHECK(py.eval("[1, 'two', [3.0, None]]").get<Value>() ==
          Value::list({1, "two", Value::list({3.0, Value()})}));
    CHECK(py.eval("lambda x: type(x).__name__")(Value::list_of(std::vector{1, 2}))
              .get<std::string>() == "list");
    CHECK_THROWS_AS(py.eval("'text'").get<int>(), knee::Error);
    CHECK_THROWS_AS(py.eval("1000").get<std::uint8_t>(), knee::Error);
  });
}

TEST_CASE("lists in themselves, and lists too deep, are objects at some depth and do no harm") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("own = []\nown.append(own)");
    CHECK(py["own"].get<Value>().as_list().size() == 1);
  });
}

TEST_CASE("vectors arrive as numpy arrays, and arrays come back as vectors") {
  with_python([](const Python& py, SlaveProcess&) {
    if (!has_numpy(py)) return;
    const auto describe = py.eval("lambda x: (type(x).__name__, str(x.dtype), x.shape)");
    using Description = std::tuple<std::string, std::string, std::vector<int>>;
    CHECK(describe(std::vector<float>{1, 2}).get<Description>() ==
          Description("ndarray", "float32", {2}));
    CHECK(describe(std::vector<std::uint16_t>{1}).get<Description>() ==
          Description("ndarray", "uint16", {1}));
    CHECK(describe(std::vector<std::complex<double>>{1}).get<Description>() ==
          Description("ndarray", "complex128", {1}));
    comes_back(py, std::vector<double>{0.5, -1});
    comes_back(py, std::vector<std::int8_t>{-1, 1});
    comes_back(py, std::vector<double>{});
    const auto numpy = py.module("numpy");
    const auto grid = numpy.call("arange", 6).call("reshape", std::pair(2, 3));
    CHECK(grid.get<std::vector<int>>() == std::vector{0, 1, 2, 3, 4, 5});
    CHECK(grid.get<Value>().as_buffer().shape == std::vector<std::uint64_t>{2, 3});
    // Not side by side in memory there.
    CHECK(grid.attr("T").get<std::vector<double>>() == std::vector<double>{0, 3, 1, 4, 2, 5});
    CHECK(numpy.call("float32", 0.5).get<double>() == 0.5);
    CHECK(numpy.call("int16", 7).get<int>() == 7);
    // It may be changed there: its memory is Python's own.
    py.execute("def doubled(x):\n    x *= 2\n    return x");
    CHECK(py["doubled"](std::vector<double>{1, 2}).get<std::vector<double>>() ==
          std::vector<double>{2, 4});
    CHECK_THROWS_AS(
        numpy.call("array", std::vector<std::complex<double>>{1}).get<std::vector<double>>(),
        knee::Error);
  });
}

TEST_CASE("8 million doubles travel both ways") {
  with_python([](const Python& py, SlaveProcess&) {
    if (!has_numpy(py)) return;
    std::vector<double> numbers(8'000'000);
    std::iota(numbers.begin(), numbers.end(), 0.0);
    CHECK(py.eval("lambda x: float(x.sum())")(numbers).get<double>() ==
          std::accumulate(numbers.begin(), numbers.end(), 0.0));
    const bool equal = py.module("numpy")
                           .call("arange", 8'000'000, knee::named("dtype", "float64"))
                           .get<std::vector<double>>() == numbers;
    CHECK(equal);
    // Calls after a large one are carried out after it.
    const auto keep = py.eval("globals().__setitem__");
    keep("kept", numbers);
    CHECK(py.eval("len(kept)").get<std::size_t>() == numbers.size());
    // Through a callback, in and out.
    const auto half = knee::callback([](std::vector<double> values) {
      values.resize(values.size() / 2);
      return values;
    });
    CHECK(py.eval("lambda f: len(f(kept))")(half).get<int>() == 4'000'000);
  });
}

TEST_CASE("large arrays of each kind come back as vectors, and in lists") {
  with_python([](const Python& py, SlaveProcess&) {
    if (!has_numpy(py)) return;
    const auto come_back = [&]<class T>(T) {
      std::vector<T> numbers(1'000'001);
      for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<T>(i % 100);
      comes_back(py, numbers);
      comes_back(py, std::vector{numbers, numbers});
      // The second copy is as good as the first.
      const Value value = py.eval("lambda x: x")(numbers).template get<Value>();
      CHECK((value.get<std::vector<T>>() == numbers));
      CHECK((value.get<std::vector<T>>() == numbers));
    };
    come_back(std::int8_t());
    come_back(std::uint16_t());
    come_back(std::int32_t());
    come_back(std::int64_t());
    come_back(std::uint64_t());
    come_back(float());
    come_back(double());
    come_back(std::complex<float>());
    come_back(std::complex<double>());
    CHECK(py.eval("lambda x: x > 1")(std::vector<double>(1'000'000, 2.0)).get<std::vector<int>>() ==
          std::vector<int>(1'000'000, 1));
  });
}

TEST_CASE("texts and bytes of many megabytes travel too") {
  with_python([](const Python& py, SlaveProcess&) {
    CHECK(py.eval("b'x' * 20_000_000").get<std::string>().size() == 20'000'000);
    CHECK(py.eval("'x' * 20_000_000").get<std::string>().size() == 20'000'000);
    CHECK(py.builtins("len")(std::string(20'000'000, 'y')).get<int>() == 20'000'000);
    CHECK(py.eval("list(range(3_000_000))").get<std::vector<int>>().back() == 2'999'999);
    const auto error =
        error_of_python([&] { (void)py.eval("['x' * 100] * 500_000").get<Value>(); });
    CHECK_THAT(error.what(), Contains("16 MiB"));
  });
}

TEST_CASE("without numpy vectors arrive as arrays of Python's own, and come back as vectors") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("import sys\nsys.modules['numpy'] = None");
    CHECK(py.eval("lambda a: type(a).__name__ + a.typecode")(std::vector{1.5, 2.5})
              .get<std::string>() == "arrayd");
    CHECK(py.eval("lambda a: a")(std::vector{1.5, 2.5}).get<std::vector<double>>() ==
          std::vector{1.5, 2.5});
    const auto error = error_of_python(
        [&] { py.eval("lambda a: a")(std::vector<std::complex<double>>{1}).wait(); });
    CHECK_THAT(error.what(), Contains("python3-numpy"));
  });
}

TEST_CASE("a range is plain data") {
  with_python([](const Python& py, SlaveProcess&) {
    CHECK(py.eval("range(2, 8, 3)").get<std::vector<int>>() == std::vector{2, 5});
  });
}
