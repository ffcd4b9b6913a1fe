// Objects of C++ that are used by names, between drivers, tasks and objects.
#include <catch2/catch.hpp>

#include <chrono>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/system/exposed_objects.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/slow_line.h"
#include "tests/system/harness/wait_until.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using Catch::Contains;
using knee::Error;
using knee::named;
using knee::Object;
using knee::Value;
using namespace std::chrono_literals;

namespace {

/// Adds all numbers to what it is given, and gives what that counts.
int count_by_names(const Object& counter, const std::vector<int>& numbers) {
  for (const int number : numbers) counter.call("add", number).wait();
  return counter.attr("count").get<int>();
}

std::string what_goes_wrong(const Object& object) {
  std::string text;
  for (const auto* name : {"missing", "refuse"})
    text += error_out_of([&] { object.call(name).wait(); }).what() + std::string("\n");
  text += error_out_of([&] { object.set("count", 1); }).what();
  return text;
}

/// Used by functions and, what it opens, by names.
class Shelf {
 public:
  Object open() {
    return knee::Exposed("a shelf")
        .method("__getitem__", [this](const std::string& key) { return books_.at(key); })
        .method("__setitem__",
                [this](const std::string& key, const std::string& book) { books_[key] = book; })
        .method("__len__", [this] { return books_.size(); })
        .method("titles",
                [this] {
                  std::vector<std::string> titles;
                  for (const auto& [key, book] : books_) titles.push_back(book);
                  return titles;
                })
        .attribute(
            "owner", [this] { return owner_; },
            [this](const std::string& owner) { owner_ = owner; });
  }

 private:
  std::map<std::string, std::string> books_;
  std::string owner_ = "nobody";
};

std::vector<int> numbers_in(const Object& object) {
  std::vector<int> numbers;
  for (const auto& number : object) numbers.push_back(number.get<int>());
  return numbers;
}

int sum_of(const Object& object) {
  int sum = 0;
  for (const int number : numbers_in(object)) sum += number;
  return sum;
}

std::string why_not_gone_through(const Object& object) {
  return error_out_of([&] { numbers_in(object); }).what();
}

/// On a slave.
struct Source {
  Object calculate() { return arithmetic(); }
  Object count(int last, int bad) { return counting(last, bad); }
  Object prices() {
    return knee::Exposed("prices").items([this] { return list; }).copy([this] { return list; });
  }
  std::vector<std::pair<std::string, int>> list{{"apple", 3}, {"pear", 4}};
};

/// Wherever the arithmetic is.
void check_names(const Object& object) {
  CHECK(object.call("minus", 7, 2).get<int>() == 5);
  CHECK(object.call("minus", 7, named("part", 2)).get<int>() == 5);
  CHECK(object.call("minus", named("part", 2), named("total", 7)).get<int>() == 5);
  CHECK(object.attr("minus")(7, named("part", 2)).get<int>() == 5);
  const auto refused = [&](const std::string& why, const auto&... arguments) {
    const auto error = error_out_of([&] { object.call("minus", arguments...).wait(); });
    CHECK(error.exception_type() == "TypeError");
    CHECK_THAT(error.what(), Contains("arithmetic: minus() " + why));
  };
  refused("has no parameter 'by'", 7, named("by", 2));
  refused("was given two arguments for its parameter 'total'", 7, named("total", 2));
  refused("was given two arguments for its parameter 'part'", named("part", 1), named("part", 2));
  refused("misses an argument for its parameter 'total'", named("part", 2));
  refused("takes 2 arguments, and was called with 3", 1, 2, 3);
  const auto type_error = [](const std::string& why, const auto& use) {
    const auto error = error_out_of(use);
    CHECK(error.exception_type() == "TypeError");
    CHECK_THAT(error.what(), Contains("arithmetic: " + why));
  };
  type_error("half() takes no arguments by name, such as 'number'",
             [&] { object.call("half", named("number", 2)).wait(); });
  type_error("half() takes 1 arguments, and was called with 0",
             [&] { object.call("half").wait(); });
  type_error("half() was given a wrong argument: a value was to be an integer and is a text",
             [&] { object.call("half", "two").wait(); });
  type_error("minus() was given a wrong argument",
             [&] { object.call("minus", "x", named("part", 1)).wait(); });
  type_error("it cannot be called", [&] { object().wait(); });
  type_error("it has no items", [&] { object[0].wait(); });
  type_error("its items cannot be set", [&] { object.set_item(0, 1); });
}

}  // namespace

TEST_CASE("a task uses an object of the driver by names") {
  SlaveProcess gandalf;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    int count = 0;
    const Object counter = knee::Exposed("a counter")
                               .method("add", [&](int number) { count += number; })
                               .method("refuse", [] { throw std::runtime_error("no more"); })
                               .attribute("count", [&] { return count; });
    CHECK(cluster.call<count_by_names>(counter, std::vector{1, 2, 3}).get() == 6);
    CHECK(count == 6);
    CHECK_THAT(cluster.call<what_goes_wrong>(counter).get(),
               Contains("a counter: it has no method 'missing'") && Contains("no more") &&
                   Contains("its attribute 'count' cannot be set"));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("what a method on a slave exposes is used by names from the driver") {
  SlaveProcess gandalf;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    const auto shelf = cluster.slave("gandalf").make<Shelf>();
    const Object books = shelf.call<&Shelf::open>();
    books.set_item("a", "Silmarillion");
    books.set_item("b", "The Hobbit");
    CHECK(books["a"].get<std::string>() == "Silmarillion");
    CHECK(books.len() == 2);
    CHECK(books.str() == "<a shelf>");
    CHECK(books.call("titles").get<std::vector<std::string>>() ==
          std::vector<std::string>{"Silmarillion", "The Hobbit"});
    CHECK(books.attr("owner").get<std::string>() == "nobody");
    books.set("owner", "bilbo");
    CHECK(books.attr("owner").get<std::string>() == "bilbo");
    CHECK(books.attr("titles")().get<std::vector<std::string>>().size() == 2);
    const auto error = error_out_of([&] { books.attr("lender").wait(); });
    CHECK(error.exception_type() == "AttributeError");
    CHECK_THAT(error.what(), Contains("a shelf: it has no attribute 'lender'"));
    CHECK_THROWS_WITH(books.get<Value>(), Contains("a shelf: it cannot be copied"));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("methods take arguments by the names of their parameters, here and on a slave") {
  check_names(arithmetic());
  SlaveProcess gandalf;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    const auto source = cluster.slave("gandalf").make<Source>();
    check_names(source.call<&Source::calculate>());
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("what an object says is in it can be gone through, anew each time") {
  const Object here = counting(3);
  for (int i = 0; i < 2; ++i) CHECK(numbers_in(here) == std::vector{1, 2, 3});
  CHECK(counting(0).begin() == counting(0).end());
  SlaveProcess gandalf;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    const auto source = cluster.slave("gandalf").make<Source>();
    const Object there = source.call<&Source::count>(10'000, 0);
    for (int i = 0; i < 2; ++i) CHECK(sum_of(there) == 50'005'000);
    std::string text;
    for (const auto& price : source.call<&Source::prices>())
      text += price.as_list().at(0).as_text() + " ";
    CHECK(text == "apple pear ");
    // Where it is gone through by somebody else.
    CHECK(cluster.call<sum_of>(here).get() == 6);
    CHECK(cluster.call<sum_of>(there).get() == 50'005'000);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("what an object holds lives as long as somebody goes through it") {
  auto held = std::make_shared<std::vector<int>>(std::vector{1, 2, 3});
  const std::weak_ptr<std::vector<int>> watched = held;
  {
    auto place = Object(knee::Exposed("numbers").items([held = std::move(held)] {
                   // Refers to what the function around it holds.
                   return [&numbers = *held, at = std::size_t{0}]() mutable -> std::optional<int> {
                     return at == numbers.size() ? std::nullopt : std::optional(numbers[at++]);
                   };
                 })).begin();
    int sum = 0;
    for (; place != std::default_sentinel; ++place) sum += place->get<int>();
    CHECK(sum == 6);
  }
  CHECK(watched.expired());
}

TEST_CASE("an iteration that fails gives first what it had, and says why there is none") {
  SlaveProcess gandalf;
  knee::Cluster cluster(reaching(gandalf));
  const auto source = cluster.slave("gandalf").make<Source>();
  const Object broken = source.call<&Source::count>(5, 3);
  std::vector<int> seen;
  const auto error = error_out_of([&] {
    for (const auto& number : broken) seen.push_back(number.get<int>());
  });
  CHECK(seen == std::vector{1, 2});
  CHECK(error.exception_type() == "std::out_of_range");
  CHECK_THAT(error.what(), Contains("a number is missing"));
  const std::string none = "arithmetic: it cannot be gone through: it was exposed without `items`";
  CHECK_THAT(why_not_gone_through(arithmetic()), Contains(none));
  CHECK_THAT(why_not_gone_through(source.call<&Source::calculate>()), Contains(none));
  CHECK_THAT(cluster.call<why_not_gone_through>(arithmetic()).get(), Contains(none));
}

TEST_CASE("to go through much on a slave costs few round trips") {
  SlaveProcess gandalf;
  const SlowLine line(gandalf.address(), 20ms);
  knee::ClusterOptions options = reaching(gandalf);
  options.slaves = {line.address()};
  knee::Cluster cluster(options);
  const auto source = cluster.slave("gandalf").make<Source>();
  const Object numbers = source.call<&Source::count>(100'000, 0);
  CHECK(numbers.str() == "<numbers>");
  std::size_t count = 0;
  // A chunk ends sooner where items take time, as with a sanitizer.
  constexpr unsigned kFew = 100 * kTimeSlack;
  CHECK(line.turns_of([&] { count = numbers_in(numbers).size(); }) <= kFew);
  CHECK(count == 100'000);
}

TEST_CASE("an object that can be copied gives what it holds, here and on a slave") {
  using Prices = std::vector<std::pair<std::string, int>>;
  Source here;
  CHECK(here.prices().get<Prices>() == here.list);
  SlaveProcess gandalf;
  knee::Cluster cluster(reaching(gandalf));
  const auto there = cluster.slave("gandalf").make<Source>();
  const Object prices = there.call<&Source::prices>();
  CHECK(prices.get<Prices>() == here.list);
  CHECK(prices.async_get().get().get<Prices>() == here.list);
}

TEST_CASE("an object that is used where it lives fails as one elsewhere does") {
  const Object object = arithmetic();
  for (const auto& failed : {object.attr("plus"), object.attr("plus").attr("name")}) {
    const auto error = error_out_of([&] { failed.wait(); });
    CHECK(error.kind() == Error::Kind::exception);
    CHECK(error.exception_type() == "AttributeError");
    CHECK(error.exception_text() == "arithmetic: it has no attribute 'plus'");
  }
}
