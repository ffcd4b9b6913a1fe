#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "tests/system/harness/marks.h"
#include "tests/system/harness/temporary_folder.h"
#include "tests/system/live_objects.h"

using namespace knee::test;
using Catch::Contains;
using knee::Error;

namespace {

/// One that carries out one call at a time, as all in its process.
struct Clerk {
  int number() { return 7; }
  /// Asks the other when told to.
  int ask(const knee::Ref<Clerk>& other, std::string started, std::string go) {
    knee::test::hold(0, std::move(started), std::move(go));
    return other.call<&Clerk::number>().get();
  }
  /// The same through a third.
  int ask_through(const knee::Ref<Clerk>& middle, const knee::Ref<Clerk>& other,
                  std::string started, std::string go) {
    knee::test::hold(0, std::move(started), std::move(go));
    return middle.call<&Clerk::pass_on>(other).get();
  }
  int pass_on(const knee::Ref<Clerk>& other) { return other.call<&Clerk::number>().get(); }
  int tell(const knee::Function<int()>& function) { return function(); }
  void keep(knee::Function<int()> function) { kept = std::move(function); }
  /// Calls what it keeps, when told to.
  int tell_kept(std::string started, std::string go) {
    knee::test::hold(0, std::move(started), std::move(go));
    return kept();
  }
  /// Until it gives something.
  int tell_until(const knee::Function<int()>& function) {
    for (;;)
      if (const int result = function()) return result;
  }

  knee::Function<int()> kept;
};

int ask_in_task(const knee::Ref<Clerk>& first, const knee::Ref<Clerk>& second,
                const std::string& started, const std::string& go) {
  return first.call<&Clerk::ask>(second, started, go).get();
}

int number_of(const knee::Ref<Clerk>& clerk) {
  return clerk.call<&Clerk::number>().get();
}

int call_it(const knee::Function<int()>& function) {
  return function();
}

/// Leaves the answer to a call on the object to be waited for after its end.
int ask_at_last(const knee::Ref<Clerk>& clerk) {
  static knee::Promise<int> kept;
  kept = clerk.call<&Clerk::number>();
  return 7;
}

/// Gives the object a function of this task's, and asks it when told to.
int give_and_ask(const knee::Ref<Clerk>& clerk, const std::string& given, const std::string& go) {
  clerk.call<&Clerk::keep>([] { return 7; }).get();
  knee::test::hold(0, given, go);
  return clerk.call<&Clerk::number>().get();
}

/// Of calls that wait for each other: those that gave 7, and what the others said.
struct Outcome {
  int good = 0;
  std::vector<std::string> errors;
};

Outcome outcome_of(std::vector<knee::Promise<int>>& calls) {
  Outcome outcome;
  for (auto& call : calls) {
    try {
      outcome.good += call.get() == 7;
    } catch (const Error& error) {
      outcome.errors.emplace_back(error.what());
    }
  }
  return outcome;
}

struct Marks {
  TemporaryFolder folder;
  std::string started = folder / "started";
  std::string go = folder / "go";
  /// Lets all go when so many have started.
  void let_go(std::size_t count) {
    wait_for_marks(started, count);
    leave_mark(go, "");
  }
};

}  // namespace

TEST_CASE("objects that call each other in a circle: one call fails, the others go on") {
  const std::size_t members = GENERATE(2, 3, 5);
  with_a_slave([members](knee::Cluster&, const knee::Slave& gandalf) {
    Marks marks;
    std::vector<knee::Ref<Clerk>> clerks;
    for (std::size_t i = 0; i < members; ++i)
      clerks.push_back(gandalf.make<Clerk>(knee::Placement::own()));
    std::vector<knee::Promise<int>> calls;
    for (std::size_t i = 0; i < members; ++i)
      calls.push_back(
          clerks[i].call<&Clerk::ask>(clerks[(i + 1) % members], marks.started, marks.go));
    marks.let_go(members);
    const auto outcome = outcome_of(calls);
    CHECK(outcome.good == static_cast<int>(members) - 1);
    REQUIRE(outcome.errors.size() == 1);
    CHECK_THAT(outcome.errors[0], Contains("could never begin") &&
                                      Contains("waits for a call that waits for this one"));
    for (const auto& clerk : clerks) CHECK(clerk.call<&Clerk::number>().get() == 7);
  });
}

TEST_CASE("a circle through an object that was free is one as well") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    Marks marks;
    const auto one = gandalf.make<Clerk>(knee::Placement::own());
    const auto middle = gandalf.make<Clerk>(knee::Placement::own());
    const auto other = gandalf.make<Clerk>(knee::Placement::own());
    std::vector<knee::Promise<int>> calls;
    // The middle carries out what the first asks it, and waits for the other, which waits for the
    // first.
    calls.push_back(one.call<&Clerk::ask_through>(middle, other, marks.started, marks.go));
    calls.push_back(other.call<&Clerk::ask>(one, marks.started, marks.go));
    marks.let_go(2);
    const auto outcome = outcome_of(calls);
    CHECK(outcome.good == 1);
    REQUIRE(outcome.errors.size() == 1);
    CHECK_THAT(outcome.errors[0], Contains("could never begin"));
    CHECK(middle.call<&Clerk::number>().get() == 7);
  });
}

TEST_CASE("a circle of objects that tasks have called is broken too") {
  SlaveProcess gandalf({.slots = 2});
  knee::Cluster cluster(reaching(gandalf));
  const auto slave = cluster.slave("gandalf");
  Marks marks;
  const auto one = slave.make<Clerk>(knee::Placement::own());
  const auto other = slave.make<Clerk>(knee::Placement::own());
  std::vector<knee::Promise<int>> calls;
  calls.push_back(cluster.call<ask_in_task>(one, other, marks.started, marks.go));
  calls.push_back(cluster.call<ask_in_task>(other, one, marks.started, marks.go));
  marks.let_go(2);
  const auto outcome = outcome_of(calls);
  CHECK(outcome.good == 1);
  REQUIRE(outcome.errors.size() == 1);
  CHECK_THAT(outcome.errors[0], Contains("could never begin"));
}

TEST_CASE("a circle of objects of two slaves is broken too") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  Marks marks;
  const auto one = cluster.slave("gandalf").make<Clerk>();
  const auto other = cluster.slave("frodo").make<Clerk>();
  std::vector<knee::Promise<int>> calls;
  calls.push_back(one.call<&Clerk::ask>(other, marks.started, marks.go));
  calls.push_back(other.call<&Clerk::ask>(one, marks.started, marks.go));
  marks.let_go(2);
  const auto outcome = outcome_of(calls);
  CHECK(outcome.good == 1);
  CHECK(outcome.errors.size() == 1);
}

TEST_CASE("a callback that waits for an object which waits for another's callback gets an error") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto near = gandalf.make<Clerk>(knee::Placement::own());
    const auto far = gandalf.make<Clerk>(knee::Placement::own());
    knee::Promise<int> told;
    std::string error;
    std::atomic<bool> looked = false;
    cluster.call<twice>(1).then([&](int) {
      told = far.call<&Clerk::tell>([] { return 7; });
      error = error_of(near.call<&Clerk::pass_on>(far)).what();
      looked = true;
    });
    REQUIRE(wait_until([&] { return looked.load(); }));
    CHECK_THAT(error, Contains("could never end") && Contains("use then() in callbacks"));
    CHECK(told.get() == 7);
    CHECK(near.call<&Clerk::number>().get() == 7);
  });
}

TEST_CASE(
    "a task that waits for an object which waits for a function of that task is a circle too") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    Marks marks;
    const TemporaryFolder folder;
    const auto clerk = gandalf.make<Clerk>();
    std::vector<knee::Promise<int>> calls;
    calls.push_back(cluster.call<give_and_ask>(clerk, folder / "given", marks.go));
    wait_for_marks(folder / "given");
    calls.push_back(clerk.call<&Clerk::tell_kept>(marks.started, marks.go));
    marks.let_go(1);
    const auto outcome = outcome_of(calls);
    // If it is the task that fails, its function is gone as well.
    REQUIRE_FALSE(outcome.errors.empty());
    CHECK(std::any_of(outcome.errors.begin(), outcome.errors.end(), [](const std::string& error) {
      return error.find("could never begin") != std::string::npos;
    }));
    CHECK(clerk.call<&Clerk::number>().get() == 7);
  });
}

TEST_CASE("a callback that waits for a task which waits for an object that waits for a callback") {
  const bool at_last = GENERATE(false, true);  // when the function has returned
  with_a_slave([at_last](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto clerk = gandalf.make<Clerk>();
    knee::Promise<int> told;
    std::string error;
    std::atomic<bool> looked = false;
    clerk.call<&Clerk::number>().then([&](int) {  // so the task is the first of all
      told = clerk.call<&Clerk::tell>([] { return 7; });
      error = error_of(at_last ? cluster.call<ask_at_last>(clerk) : cluster.call<number_of>(clerk))
                  .what();
      looked = true;
    });
    REQUIRE(wait_until([&] { return looked.load(); }));
    CHECK_THAT(error, Contains("could never end") && Contains("use then() in callbacks"));
    CHECK(told.get() == 7);
    CHECK(cluster.call<number_of>(clerk).get() == 7);
  });
}

TEST_CASE("a callback that waits for the call it was called by gets an error") {
  const bool by_task = GENERATE(false, true);
  with_a_slave([by_task](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto clerk = gandalf.make<Clerk>();
    knee::Promise<int> asked;
    std::atomic<bool> assigned = false;
    std::string error;
    std::atomic<bool> looked = false;
    const auto wait_for_itself = [&] {
      error = wait_until([&] { return assigned.load(); }) ? error_of(std::move(asked)).what()
                                                          : "nobody knows what has called";
      looked = true;
      return 0;
    };
    asked = by_task ? cluster.call<call_it>(wait_for_itself)
                    : clerk.call<&Clerk::tell>(wait_for_itself);
    assigned = true;
    REQUIRE(wait_until([&] { return looked.load(); }));
    CHECK_THAT(error, Contains("could never end") && Contains("use then() in callbacks"));
    CHECK(clerk.call<&Clerk::number>().get() == 7);
    CHECK(cluster.call<number_of>(clerk).get() == 7);
  });
}

TEST_CASE("a callback that waits for a task which waits long for an object is left alone",
          "[.slow]") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    Marks marks;
    const auto clerk = gandalf.make<Clerk>(knee::Placement::own());
    auto held = clerk.call<&Clerk::ask>(clerk, marks.started, marks.go);
    wait_for_marks(marks.started);
    std::atomic<int> result = 0;
    cluster.call<twice>(1).then([&](int) { result = cluster.call<number_of>(clerk).get(); });
    auto told = gandalf.make<Clerk>(knee::Placement::own()).call<&Clerk::tell>([] { return 7; });
    CHECK_FALSE(wait_until([&] { return result != 0; }, std::chrono::seconds(7)));
    leave_mark(marks.go, "");
    CHECK(wait_until([&] { return result != 0; }));
    CHECK(result == 7);
    CHECK(held.get() == 7);
    CHECK(told.get() == 7);
  });
}

TEST_CASE("a callback that runs for long while another one waits for its call is left alone",
          "[.slow]") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    Marks marks;
    const auto clerk = gandalf.make<Clerk>();
    knee::Promise<int> queued;
    std::atomic<int> result = 0;
    cluster.call<twice>(1).then([&](int) {
      auto asked = clerk.call<&Clerk::tell>([&] {
        queued = clerk.call<&Clerk::tell>([] { return 7; });  // behind this one
        return knee::test::hold(7, marks.started, marks.go);
      });
      result = asked.get();
    });
    wait_for_marks(marks.started);
    CHECK_FALSE(wait_until([&] { return result != 0; }, std::chrono::seconds(7)));
    leave_mark(marks.go, "");
    CHECK(wait_until([&] { return result != 0; }));
    CHECK(result == 7);
    CHECK(queued.get() == 7);
  });
}

TEST_CASE("a callback that is called again and again while it is waited for is left alone",
          "[.slow]") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto clerk = gandalf.make<Clerk>(knee::Placement::own());
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(7);
    std::atomic<int> result = 0;
    cluster.call<twice>(1).then([&](int) {
      result = clerk
                   .call<&Clerk::tell_until>(
                       [&] { return std::chrono::steady_clock::now() < end ? 0 : 7; })
                   .get();
    });
    CHECK(wait_until([&] { return result != 0; }, std::chrono::seconds(60)));
    CHECK(result == 7);
  });
}

TEST_CASE("objects that wait long for each other in a line are left alone", "[.slow]") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    Marks marks;
    const TemporaryFolder folder;
    const auto first = gandalf.make<Clerk>(knee::Placement::own());
    const auto last = gandalf.make<Clerk>(knee::Placement::own());
    auto held = last.call<&Clerk::ask>(last, marks.started, folder / "end");
    auto waits = first.call<&Clerk::pass_on>(last);
    auto behind = first.call<&Clerk::number>();
    wait_for_marks(marks.started);
    CHECK_FALSE(behind.wait_for(std::chrono::seconds(7)));  // the driver looks every 3 s
    leave_mark(folder / "end", "");
    CHECK(held.get() == 7);
    CHECK(waits.get() == 7);
    CHECK(behind.get() == 7);
  });
}
