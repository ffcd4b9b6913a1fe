#include "tests/system/exposed_objects.h"
#include "tests/system/python/session.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/system/harness/marks.h"
#include "tests/system/harness/temporary_folder.h"
#include "tests/system/harness/wait_until.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Object;
using knee::Python;

namespace {

/// In a task.
std::string ask(const Object& session_object, const std::string& text) {
  return session_object.call("upper").call("replace", "GANDALF", text).get<std::string>();
}

/// Python's function that says with what a call fails.
constexpr const char* kError =
    "def error_of(call):\n"
    "    try: call()\n"
    "    except Exception as error: return type(error).__name__ + ': ' + str(error)\n";

}  // namespace

TEST_CASE("Python prints into a stream of the driver") {
  with_python([](const Python& py, SlaveProcess&) {
    std::ostringstream out;
    const Object stream = knee::Exposed::stream(out);
    py.builtins("print")("hello", 3, knee::named("file", stream)).wait();
    py.execute(
        "def report(out, lines):\n"
        "    for line in lines:\n"
        "        out.write(line + '\\n')\n"
        "    out.flush()\n");
    py["report"](stream, std::vector<std::string>{"one", "two"}).wait();
    CHECK(out.str() == "hello 3\none\ntwo\n");
  });
}

TEST_CASE("Python uses an object of the driver by its names, and finds no others") {
  with_python([](const Python& py, SlaveProcess&) {
    double level = 1.5;
    const Object settings = knee::Exposed("settings")
                                .method("scaled", [&](double by) { return level * by; })
                                .attribute(
                                    "level", [&] { return level; }, [&](double to) { level = to; });
    py.execute(
        "def use(settings):\n"
        "    settings.level = settings.scaled(2)\n"
        "    return [settings.level, hasattr(settings, 'level'), hasattr(settings, 'depth'), "
        "str(settings)]\n");
    const auto seen = py["use"](settings).get<knee::Value::List>();
    REQUIRE(seen.size() == 4);
    CHECK(seen[0].get<double>() == 3);
    CHECK(seen[1].get<bool>());
    CHECK_FALSE(seen[2].get<bool>());
    CHECK(seen[3].get<std::string>() == "<settings>");
    CHECK(level == 3);
  });
}

TEST_CASE("Python gives a method of the driver arguments by the names of its parameters") {
  with_python([](const Python& py, SlaveProcess&) {
    const auto apply = [&](const std::string& expression) {
      return py.eval("lambda a: " + expression)(arithmetic());
    };
    CHECK(apply("a.minus(7, 2)").get<int>() == 5);
    CHECK(apply("a.minus(7, part=2)").get<int>() == 5);
    CHECK(apply("a.minus(part=2, total=7)").get<int>() == 5);
    py.execute(kError);
    const auto error_of = [&](const std::string& expression) {
      return apply("error_of(lambda: " + expression + ")").get<std::string>();
    };
    const std::string who = "TypeError: arithmetic: minus() ";
    CHECK(error_of("a.minus(7, by=2)") == who + "has no parameter 'by'");
    CHECK(error_of("a.minus(7, total=2)") ==
          who + "was given two arguments for its parameter 'total'");
    CHECK(error_of("a.minus(total=7)") == who + "misses an argument for its parameter 'part'");
    CHECK(error_of("a.minus(1, 2, 3)") == who + "takes 2 arguments, and was called with 3");
    CHECK_THAT(error_of("a.minus('x', part=1)"),
               Catch::StartsWith(who + "was given a wrong argument"));
  });
}

TEST_CASE("Python gets a TypeError for what an object of the driver cannot do") {
  with_python([](const Python& py, SlaveProcess&) {
    int level = 1;
    const Object settings = knee::Exposed("settings")
                                .method("half", [](int number) { return number / 2; })
                                .attribute(
                                    "level", [&] { return level; }, [&](int to) { level = to; });
    py.execute(kError);
    py.execute("def put(a): a[0] = 1");
    const auto check = [&](const std::string& expression, const std::string& why) {
      CHECK_THAT(
          py.eval("lambda a: error_of(lambda: " + expression + ")")(settings).get<std::string>(),
          Catch::StartsWith("TypeError: settings: " + why));
    };
    check("a.half()", "half() takes 1 arguments, and was called with 0");
    check("a.half(n=1)", "half() takes no arguments by name, such as 'n'");
    check("a.half('x')", "half() was given a wrong argument");
    check("a[0]", "it has no items: no method '__getitem__'");
    check("put(a)", "its items cannot be set: no method '__setitem__'");
    check("a()", "it cannot be called: no method '__call__'");
    check("setattr(a, 'level', 'x')", "setting of attribute level was given a wrong argument");
    CHECK(level == 1);
  });
}

TEST_CASE("to Python a function of the driver can be called and is nothing else") {
  with_python([](const Python& py, SlaveProcess&) {
    const Object half = knee::callback([](int number) { return number / 2; });
    py.execute(kError);
    py.execute(
        "from collections.abc import Callable, Iterable, Sized\n"
        "def kind_of(f):\n"
        "    return [type(f).__name__, isinstance(f, Callable), isinstance(f, (Iterable, Sized)),\n"
        "            hasattr(f, '__getitem__'), hasattr(f, 'name'), f(8), bool(f), str(f)]\n");
    const std::string kind =
        "['Callback', True, False, False, False, 4, True, '<a function of C++>']";
    CHECK(py.eval("lambda f: str(kind_of(f))")(half).get<std::string>() == kind);
    CHECK(py.eval("lambda a: str(kind_of(a.half))")(arithmetic()).get<std::string>() == kind);
    CHECK_THAT(py.eval("lambda f: error_of(lambda: f.name)")(half).get<std::string>(),
               Catch::StartsWith("AttributeError: "));
  });
}

TEST_CASE("Python goes through an object of the driver, anew each time") {
  with_python([](const Python& py, SlaveProcess&) {
    const auto apply = [&](const std::string& expression, const Object& object) {
      return py.eval("lambda n: " + expression)(object).get<std::vector<int>>();
    };
    CHECK(apply("list(n)", counting(3)) == std::vector{1, 2, 3});
    CHECK(apply("[2 * x for x in n]", counting(3)) == std::vector{2, 4, 6});
    CHECK(apply("[a * b for a, b in zip(n, n)]", counting(3)) == std::vector{1, 4, 9});
    CHECK(apply("[sum(n), sum(n)]", counting(10'000)) == std::vector{50'005'000, 50'005'000});
    CHECK(apply("list(n)", counting(0)).empty());
    const Object list = knee::Exposed("a list")
                            .items([] {
                              return std::vector{4, 5};
                            })
                            .method("__len__", [] { return 2; })
                            .method("twice", [](int number) { return 2 * number; });
    CHECK(apply("list(n)", list) == std::vector{4, 5});
    // What goes through it may use it meanwhile.
    CHECK(apply("[n.twice(x) + len(n) for x in n]", list) == std::vector{10, 12});
    py.execute(
        "def after_its_end(n):\n"
        "    items = iter(n)\n"
        "    return list(items) + [next(items, 0), next(items, 0)]\n");
    CHECK(apply("after_its_end(n)", counting(2)) == std::vector{1, 2, 0, 0});
    CHECK(apply("[next(iter(n))]", counting(100'000)) == std::vector{1});
  });
}

TEST_CASE("Python loses no items of the driver when the wait for them is interrupted") {
  const TemporaryFolder folder;
  with_python([&](const Python& py, SlaveProcess&) {
    const Object numbers = knee::Exposed("numbers").items([&] {
      return [&, number = 0]() mutable -> std::optional<int> {
        if (number == 3) return std::nullopt;
        if (++number == 2) {
          wait_for_marks(folder / "waiting");
          py.interrupt();
          wait_for_marks(folder / "interrupted");
        }
        return number;
      };
    });
    py.execute(
        "def gone_through(numbers, waiting, interrupted):\n"
        "    items = iter(numbers)\n"
        "    seen = [next(items)]\n"
        "    try:\n"
        "        print('x', file=open(waiting, 'a', 1))\n"
        "        next(items)\n"
        "    except KeyboardInterrupt: seen.append(0)\n"
        "    print('x', file=open(interrupted, 'a', 1))\n"
        "    return seen + list(items)\n");
    CHECK(py["gone_through"](numbers, folder / "waiting", folder / "interrupted")
              .get<std::vector<int>>() == std::vector{1, 0, 2, 3});
  });
}

TEST_CASE("an iteration of Python's over what fails here gives first what it had") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute(
        "import knee\n"
        "def gone_through(n):\n"
        "    seen = []\n"
        "    try:\n"
        "        for x in n: seen.append(x)\n"
        "    except knee.Error as error: return [seen, str(error)]\n");
    const auto parts = py["gone_through"](counting(5, 3)).get<knee::Value::List>();
    REQUIRE(parts.size() == 2);
    CHECK(parts[0].get<std::vector<int>>() == std::vector{1, 2});
    CHECK(parts[1].get<std::string>() == "std::out_of_range: a number is missing");
    py.execute(kError);
    const auto error_of = [&](const std::string& expression) {
      return py.eval("lambda a: error_of(lambda: " + expression + ")")(arithmetic())
          .get<std::string>();
    };
    CHECK(error_of("list(a)") ==
          "TypeError: arithmetic: it cannot be gone through: it was exposed without `items`");
    CHECK_THAT(error_of("len(a)"), Contains("TypeError: arithmetic: it has no length"));
  });
}

TEST_CASE("what Python goes through here costs few round trips") {
  // So that a machine with much else to do is not taken for one that waits.
  const std::chrono::milliseconds kOneWay = kTimeSlack == 1 ? 20ms : 60ms;
  with_python_over(kOneWay, [&](const Python& py) {
    const auto count = py.eval("lambda numbers: sum(1 for number in numbers)");
    CHECK(count(counting(3)).get<int>() == 3);
    // A chunk ends sooner where items take time, as with a sanitizer; still no round trip each.
    constexpr int kTrips = 100 * kTimeSlack;
    std::int64_t least = INT64_MAX;
    for (int i = 0; i < 10 && least > kTrips; ++i) {
      const auto took = time_of([&] { CHECK(count(counting(100'000)).get<int>() == 100'000); });
      least = std::min<std::int64_t>(least, took / (2 * kOneWay));
    }
    CHECK(least <= kTrips);
  });
}

TEST_CASE("what a thread of Python lets go of is let go of here, though its session does nothing") {
  const TemporaryFolder folder;
  with_python([&](const Python& py, SlaveProcess&) {
    auto held = std::make_shared<int>(7);
    py.execute(
        "import os, threading, time\n"
        "def keep(what, go):\n"
        "    kept = [what]\n"
        "    def run():\n"
        "        while not os.path.exists(go): time.sleep(0.01)\n"
        "        kept.clear()\n"
        "    threading.Thread(target=run).start()\n");
    py["keep"](knee::callback([held] { return *held; }), folder / "go").wait();
    CHECK(held.use_count() == 2);
    leave_mark(folder / "go", "");
    CHECK(wait_until([&] { return held.use_count() == 1; }));
  });
}

TEST_CASE("a task uses an object of a Python session") {
#ifdef KNEE_PYTHON_BUILT
  SlaveProcess gandalf;
  knee::ClusterOptions options;
  options.slaves = {gandalf.address()};
  options.insecure = true;
  knee::Cluster cluster(options);
  const auto py = cluster.slave("gandalf").python();
  py.execute("name = 'gandalf the grey'");
  // What has been looked at is an object, not its copy.
  CHECK(cluster.call<ask>(py["name"], "gandalf").get() == "gandalf THE GREY");
#endif
}
