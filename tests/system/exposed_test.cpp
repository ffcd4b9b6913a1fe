// Objects of C++ that are used by names, between drivers, tasks and objects.
#include <catch2/catch.hpp>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using Catch::Contains;
using knee::Error;
using knee::Object;
using knee::Value;

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
    CHECK_THROWS_WITH(books.get<Value>(), Contains("copy of an object of C++"));
  }
  CHECK(leaks.found() == "");
}
