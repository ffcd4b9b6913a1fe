#include <knee/this_task.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>
#include <ranges>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/terminal.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

struct Element {
  int number;
  std::string started;
  std::string go;
};

std::string square_in_words(int x) {
  return std::to_string(x) + " squared is " + std::to_string(x * x);
}

/// Number 0 waits for `go`.
int hold_if_first(const Element& element) {
  return element.number == 0 ? hold(0, element.started, element.go) : element.number;
}

/// All but number 0 never end.
int hang_unless_first(const Element& element) {
  if (element.number != 0) hang(element.started);
  return 0;
}

int hang_at_50(const Element& element) {
  if (element.number == 50) hang(element.started);
  return element.number;
}

int hold_each(const Element& element) {
  return hold(element.number, element.started, element.go);
}

/// Number 13 fails, and those behind it never end.
int fail_at_13(const Element& element) {
  if (element.number > 13) hang(element.started);
  if (element.number == 13) throw std::out_of_range("no thirteenth");
  return element.number;
}

void mark_element(const Element& element) {
  leave_mark(element.started, std::to_string(element.number));
}

std::string megabyte(int) {
  return std::string(1024 * 1024, 'x');
}

/// 0, 1 ... count - 1, with the marks of `folder`.
auto elements(int count, const TemporaryFolder& folder) {
  return std::views::iota(0, count) |
         std::views::transform([started = folder / "started", go = folder / "go"](int number) {
           return Element{number, started, go};
         });
}

}  // namespace

TEST_CASE("map gives the result of every element once, with the element's index") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    std::vector<int> numbers(2000);
    std::iota(numbers.begin(), numbers.end(), 100);
    Tally indexes(2000);
    int wrong = 0;
    for (const auto& [index, text] : bag.map<square_in_words>(numbers)) {
      indexes.add(static_cast<int>(index));
      wrong += text == square_in_words(numbers[index]) ? 0 : 1;
    }
    CHECK(indexes.complaints() == "");
    CHECK(wrong == 0);
    bag.wait();
    CHECK(bag.counts().done == 2000);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("an element of a map that takes long holds up no result of the others") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  std::vector<int> came;
  for (const auto& [index, number] : bag.map<hold_if_first>(elements(200, folder))) {
    CHECK(static_cast<int>(index) == number);
    came.push_back(number);
    if (came.size() == 150) leave_mark(folder / "go", "");
  }
  REQUIRE(came.size() == 200);
  const auto first = std::find(came.begin(), came.end(), 0);
  REQUIRE(first != came.end());
  CHECK(first - came.begin() >= 150);
}

TEST_CASE("map takes a window of its range, and more only as results are consumed") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    int pulled = 0;
    auto numbers = std::views::iota(0, 10'000'000) | std::views::transform([&pulled](int i) {
                     ++pulled;
                     return i;
                   });
    auto results = bag.map<twice>(numbers);
    CHECK(pulled == 0);
    auto result = results.begin();
    // All that was taken is computed, so slaves are idle and nothing but us holds it back.
    REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }));
    const int first_window = pulled;
    CHECK(first_window >= 2);
    CHECK(first_window <= 200);
    CHECK(bag.counts().done == static_cast<std::size_t>(first_window));
    for (int i = 0; i < first_window; ++i) ++result;
    CHECK(pulled > first_window);
    CHECK(pulled < 200'000);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("while slaves are busy map keeps its window small") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  int pulled = 0;
  auto watched = elements(10'000, folder) | std::views::transform([&pulled](Element element) {
                   ++pulled;
                   return element;
                 });
  // The slots are known, and a worker is warm: what the map asks for it asks of a busy slave.
  REQUIRE(bag.call<twice>(1).get() == 2);
  std::jthread lets_go([&] {
    wait_for_marks(folder / "started", 2);
    leave_mark(folder / "go", "");
  });
  int most = 0;
  int came = 0;
  for ([[maybe_unused]] const auto& result : bag.map<hold_each>(watched)) {
    most = std::max(most, pulled - came);
    if (++came == 500) break;
  }
  CHECK(most <= 4000);
}

TEST_CASE("a task of a map that throws makes the loop throw, and the rest is cancelled") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(impatient(slave));
    auto bag = cluster.bag({.name = "mapped"});
    std::set<int> came;
    const Error error = error_out_of([&] {
      for (const auto& [index, number] : bag.map<fail_at_13>(elements(1000, folder)))
        came.insert(number);
    });
    CHECK(error.kind() == Error::Kind::exception);
    CHECK(error.exception_text() == "no thirteenth");
    CHECK_THAT(error.task(), Contains("mapped: ") && Contains("fail_at_13"));
    CHECK((came.empty() || *came.rbegin() < 13));
    REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }, 10s));
    bag.wait();  // the loop has thrown it
    CHECK(bag.call<twice>(1).get() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("who leaves the loop over a map early cancels what is left, and the bag goes on") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(impatient(slave));
    auto bag = cluster.bag();
    auto other = bag.call<hold>(7, folder / "other", folder / "go");
    for (const auto& [index, number] : bag.map<hang_unless_first>(elements(1000, folder))) {
      CHECK(index == 0);
      wait_for_marks(folder / "started");
      break;
    }
    REQUIRE(wait_until([&] { return bag.counts().outstanding == 1; }, 10s));
    // What was called beside the map goes on.
    leave_mark(folder / "go", "");
    CHECK(other.get() == 7);
    bag.wait();
    CHECK(marks_in(folder / "started").size() <= 2);
    CHECK(bag.call<twice>(1).get() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a map that nobody iterates pulls nothing and runs nothing") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  const std::vector<int> numbers{1, 2, 3};
  { [[maybe_unused]] auto results = bag.map<twice>(numbers); }
  bag.wait();
  CHECK(bag.counts().done == 0);
}

TEST_CASE("an empty range has no results, and needs no slave for that") {
  const SlaveProcess slave({.start = false});
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  int results = 0;
  for ([[maybe_unused]] const auto& result : bag.map<twice>(std::vector<int>())) ++results;
  CHECK(results == 0);
  bag.wait();
}

TEST_CASE("map with a function that returns nothing says which elements are done") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  Tally indexes(300);
  for (const auto& [index] : bag.map<mark_element>(elements(300, folder)))
    indexes.add(static_cast<int>(index));
  CHECK(indexes.complaints() == "");
  Tally ran(300);
  for (const auto& mark : marks_in(folder / "started")) ran.add(std::stoi(mark));
  CHECK(ran.complaints() == "");
}

TEST_CASE("map takes ranges that can be read once, and temporary ones") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  std::istringstream text("5 7 11 13");
  std::vector<int> doubled(4);
  for (const auto& [index, value] : bag.map<twice>(std::views::istream<int>(text)))
    doubled.at(index) = value;
  CHECK(doubled == std::vector<int>{10, 14, 22, 26});
  for (const auto& [index, value] : bag.map<twice>(std::vector<int>{1, 2, 3, 4}))
    doubled.at(index) = value;
  CHECK(doubled == std::vector<int>{2, 4, 6, 8});
}

TEST_CASE("maps may be nested") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  int sum = 0;
  for (const auto& outer : bag.map<twice>(std::views::iota(1, 5)))
    for (const auto& inner : bag.map<twice>(std::views::iota(1, 3)))
      sum += outer.value * inner.value;
  CHECK(sum == 20 * 6);
}

TEST_CASE("a map outlives the violent death of its only slave") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    Tally indexes(3000);
    int came = 0;
    int wrong = 0;
    for (const auto& [index, value] : bag.map<twice>(std::views::iota(0, 3000))) {
      indexes.add(static_cast<int>(index));
      wrong += value == 2 * static_cast<int>(index) ? 0 : 1;
      if (++came != 1000) continue;
      slave.kill();
      slave.start();
    }
    CHECK(indexes.complaints() == "");
    CHECK(wrong == 0);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("cancelling reaches a task that hangs behind results that nobody has looked at yet") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(impatient(slave));
    for (int round = 0; round < 5; ++round) {
      const TemporaryFolder folder;
      auto bag = cluster.bag();
      // Short so far: the worker is given many at once, and need not tell of each.
      for (int i = 0; i < 20; ++i) (void)bag.call<hang_at_50>(Element{i, "", ""});
      bag.wait();
      for (int i = 40; i < 80; ++i) (void)bag.call<hang_at_50>(Element{i, folder / "started", ""});
      wait_for_marks(folder / "started");
      bag.cancel();
      REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }, 5s));
      CHECK(error_out_of([&] { bag.wait(); }).kind() == Error::Kind::cancelled);
    }
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("cancelling a bag ends the loop over its map") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(impatient(slave));
    auto bag = cluster.bag();
    std::jthread cancels([&] {
      wait_for_marks(folder / "started");
      bag.cancel();
    });
    const Error error = error_out_of([&] {
      for ([[maybe_unused]] const auto& result : bag.map<hold_each>(elements(100, folder))) {
      }
    });
    CHECK(error.kind() == Error::Kind::cancelled);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a callback may use map") {
  SlaveProcess slave({.slots = 1});
  int sum = 0;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  auto other = cluster.bag();
  for (int i = 0; i < 5; ++i)
    bag.call<twice>(i).then([&](int) {
      for (const auto& result : other.map<twice>(std::views::iota(0, 300))) sum += result.value;
    });
  REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }));
  CHECK(sum == 5 * 299 * 300);
}

TEST_CASE("a callback may use map while so many results wait that no more are fetched") {
  SlaveProcess slave;
  int sum = 0;
  bool first = true;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  auto other = cluster.bag();
  // More than a driver keeps for callbacks; they come before anything that the map asks for.
  for (int i = 0; i < 120; ++i)
    bag.call<megabyte>(i).then([&](const std::string&) {
      if (!std::exchange(first, false)) return;
      for (const auto& result : other.map<twice>(std::views::iota(0, 300))) sum += result.value;
    });
  REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }));
  CHECK(sum == 299 * 300);
}

TEST_CASE("a loop over a map shows progress on a terminal, and wipes it at its end") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  Terminal terminal;
  DriverProcess driver({.part = "map",
                        .arguments = {folder / "started", folder / "go"},
                        .slaves = {slave.address()},
                        .terminal = terminal.name()});
  wait_for_marks(folder / "started", 2);
  CHECK(terminal.wait_for("mapped: 0 done, 2 running, 0 waiting, 1 slave"));
  leave_mark(folder / "go", "");
  CHECK(terminal.wait_for("\r\033[K"));
  CHECK(driver.wait() == 0);
  CHECK(driver.out() == "2\n");
}
