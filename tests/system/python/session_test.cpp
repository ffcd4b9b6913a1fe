#include "tests/system/python/session.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/temporary_folder.h"
#include "tests/system/harness/wait_until.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;
using knee::Object;
using knee::Python;
using knee::Value;
namespace fs = std::filesystem;

TEST_CASE("statements are executed and expressions evaluated in one namespace") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("n=2");
    CHECK(py.eval("n+1").get<int>() == 3);
    py.execute("def twice(x):\n    return 2 * x\n");
    CHECK(py["twice"](21).get<int>() == 42);
    CHECK(py.eval("twice")("ab").get<std::string>() == "abab");
    CHECK(py.async_eval("n").get().as_integer() == 2);
  });
}

TEST_CASE("what the driver gave to Python can be used as soon as Python gives it back") {
  with_python([](const Python& py, SlaveProcess&) {
    py.set("increment", knee::callback([](int n) { return n + 1; }));
    for (int i = 0; i < 100; ++i) CHECK(py["increment"](i).get<int>() == i + 1);
  });
}

TEST_CASE("a session may be used before its slave is there") {
#ifdef KNEE_PYTHON_BUILT
  SlaveProcess gandalf({.start = false});
  knee::ClusterOptions options;
  options.slaves = {gandalf.address()};
  knee::Cluster cluster(options);
  const auto py = cluster.slave("gandalf").python();
  const auto sum = py.eval("1 + 1");
  (void)py.eval("'let go of before it was sent'");
  gandalf.start();
  CHECK(sum.get<int>() == 2);
#endif
}

TEST_CASE("two sessions on one slave are two processes") {
#ifdef KNEE_PYTHON_BUILT
  SlaveProcess gandalf;
  knee::ClusterOptions options;
  options.slaves = {gandalf.address()};
  knee::Cluster cluster(options);
  const auto one = cluster.slave("gandalf").python();
  const auto other = cluster.slave("gandalf").python();
  one.execute("n = 1");
  other.execute("n = 2");
  CHECK(one["n"].get<int>() == 1);
  CHECK(one.module("os").call("getpid").get<int>() != other.module("os").call("getpid").get<int>());
#endif
}

TEST_CASE("a session finds the modules of its slave's virtual environment") {
#ifdef KNEE_PYTHON_BUILT
  const auto eval_on = [](const SlaveProcess& slave, const std::string& expression) {
    knee::ClusterOptions options;
    options.slaves = {slave.address()};
    knee::Cluster cluster(options);
    const auto py = cluster.slave("gandalf").python();
    py.execute("import sys");
    return py.eval(expression).get<std::string>();
  };
  const SlaveProcess plain({.environment = {{"VIRTUAL_ENV", ""}}});
  const auto python = eval_on(plain, "sys.base_prefix + '/bin/python%d.%d' % sys.version_info[:2]");
  if (!fs::exists(python)) {
    WARN("skipped: there is no " << python);
    return;
  }
  // As `python3 -m venv` makes it, which not every machine has.
  const TemporaryFolder folder;
  const auto packages = folder.path() / "lib" / fs::path(python).filename() / "site-packages";
  fs::create_directories(packages);
  fs::create_directory(folder / "bin");
  fs::create_symlink(python, folder / "bin/python3");
  leave_mark(folder / "pyvenv.cfg", "home = " + fs::path(python).parent_path().string());
  leave_mark(packages / "only_there.py", "name = 'frodo'");
  const SlaveProcess slave({.environment = {{"VIRTUAL_ENV", folder.path()}}});
  CHECK(eval_on(slave, "sys.prefix") == folder.path());
  CHECK(eval_on(slave, "__import__('only_there').name") == "frodo");
  CHECK(eval_on(slave, "sys.base_prefix") == eval_on(plain, "sys.prefix"));
#endif
}

TEST_CASE("attributes, items, calls by name, text and length") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute(
        "class Thing:\n"
        "    size = 3\n"
        "    def f(self, a, b=10): return a + b\n"
        "thing = Thing()\n"
        "d = {'a': 1}\n");
    const auto thing = py["thing"];
    CHECK(thing.attr("size").get<int>() == 3);
    thing.set("size", "large");
    CHECK(py.eval("thing.size").get<std::string>() == "large");
    CHECK(thing.call("f", 1).get<int>() == 11);
    CHECK(thing.call("f", 1, knee::named("b", 2)).get<int>() == 3);
    CHECK(py.builtins("int")("ff", knee::named("base", 16)).get<int>() == 255);
    const auto d = py["d"];
    CHECK(d["a"].get<int>() == 1);
    d.set_item("b", std::vector<std::string>{"x"});
    CHECK(d.len() == 2);
    CHECK(d.str() == "{'a': 1, 'b': ['x']}");
    CHECK(py.eval("'quoted'").repr() == "'quoted'");
    CHECK(py.module("os.path").call("basename", "/a/b").get<std::string>() == "b");
  });
}

TEST_CASE("an object given back to its session is itself") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("thing = object()\ndef same(a, b=None): return a is b");
    const auto thing = py["thing"];
    CHECK(py["same"](thing, thing).get<bool>());
    CHECK(py["same"](std::vector{thing}, 1).get<bool>() == false);
    // Also one that is not there yet.
    const auto fresh = py.eval("[1, 2]");
    CHECK(py.builtins("sum")(fresh).get<int>() == 3);
    const auto inside = py.eval("{'thing': thing}").get<Value>().as_dict().at(0).second;
    CHECK(py["same"](inside.get<Object>(), thing).get<bool>());
  });
}

TEST_CASE("what is iterated over comes in chunks, in order, and ends") {
  with_python([](const Python& py, SlaveProcess&) {
    int expected = 0;
    for (const auto& value : py.builtins("range")(100'000)) {
      if (value.as_integer() != expected) FAIL("a number is missing: " << expected);
      ++expected;
    }
    CHECK(expected == 100'000);
    std::string letters;
    for (const auto& value : py.eval("'ab', 'cd'")) letters += value.as_text();
    CHECK(letters == "abcd");
    CHECK(py.eval("[]").begin() == py.eval("[]").end());
    // Objects among them can be used.
    for (const auto& value : py.eval("[object, 1]")) {
      if (value.kind() == Value::Kind::object)
        CHECK(value.get<Object>().attr("__name__").get<std::string>() == "object");
    }
  });
}

TEST_CASE("an iterator that raises gives first what it had") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("def some():\n    yield 1\n    yield 2\n    raise KeyError('no third')");
    std::vector<int> seen;
    const auto error = error_of_python([&] {
      for (const auto& value : py["some"]()) seen.push_back(value.get<int>());
    });
    CHECK(seen == std::vector{1, 2});
    CHECK(error.exception_type() == "KeyError");
    CHECK_THROWS_AS(py.eval("3").begin(), Error);
  });
}

TEST_CASE("the first comes as soon as it is there") {
  const TemporaryFolder folder;
  with_python([&](const Python& py, SlaveProcess&) {
    // The others are made only when it has been seen here.
    py.execute(
        "import os, time\n"
        "def slow(seen):\n"
        "    yield 1\n"
        "    while not os.path.exists(seen): time.sleep(0.01)\n"
        "    yield from range(2, 5)\n");
    std::vector<int> values;
    for (const auto& value : py["slow"](folder / "seen")) {
      values.push_back(value.get<int>());
      leave_mark(folder / "seen", "");
    }
    CHECK(values == std::vector{1, 2, 3, 4});
  });
}

TEST_CASE("what is asked of a result is done before what is asked later") {
  const TemporaryFolder folder;
  with_python([&](const Python& py, SlaveProcess&) {
    py.module("os").call("chdir", folder.path().string());
    CHECK(py.eval("__import__('os').getcwd()").get<std::string>() == folder.path());
  });
}

TEST_CASE("what is asked of a session costs few round trips") {
  // So that a machine with much else to do is not taken for one that waits.
  const std::chrono::milliseconds kOneWay = kTimeSlack == 1 ? 20ms : 60ms;
  with_python_over(kOneWay, [&](const Python& py) {
    py.eval("1").get<int>();
    // By the clock, since what ends earlier uses travels in between, too.
    const auto trips = [&](std::int64_t most, const auto& use) {
      std::int64_t least = INT64_MAX;
      for (int i = 0; i < 10 && least > most; ++i)
        least = std::min(least, time_of(use) / (2 * kOneWay));
      return least;
    };
    CHECK(trips(1, [&] { CHECK(py.module("os").attr("path").call("exists", "/").get<bool>()); }) ==
          1);
    CHECK(trips(2, [&] { CHECK(py.eval("[1, 2]").get<std::vector<int>>().size() == 2); }) <= 2);
    // With a sanitizer the items themselves take time, and still no round trip each.
    constexpr int kTrips = 25 * kTimeSlack;
    CHECK(trips(kTrips, [&] {
            int count = 0;
            for (const auto& value : py.eval("range(100000)")) count += value.as_integer() >= 0;
            CHECK(count == 100'000);
          }) <= kTrips);
    // As it would be with a wait for each step.
    CHECK(trips(2, [&] {
            const auto path = py.module("os").attr("path");
            path.wait();
            CHECK(path.call("exists", "/").get<bool>());
          }) == 2);
  });
}

TEST_CASE("what the driver gave is true in Python") {
  with_python([](const Python& py, SlaveProcess&) {
    CHECK(py.eval("lambda f: f(1) if f else 0")(knee::callback([](int n) { return n + 1; }))
              .get<int>() == 2);
    CHECK(py.eval("bool")(knee::Exposed("a thing").as_value()).get<bool>());
  });
}

TEST_CASE("a name of a session can be set") {
  with_python([](const Python& py, SlaveProcess&) {
    py.set("n", 20);
    py.set("same", py["n"]);
    CHECK(py.eval("n + same").get<int>() == 40);
  });
}

TEST_CASE("a function given to Python is called back here") {
  with_python([](const Python& py, SlaveProcess&) {
    const auto next = knee::callback([](int n) { return n + 1; });
    const auto list = py.builtins("list");
    CHECK(list(py.builtins("map")(next, std::vector{1, 2, 3})).get<std::vector<int>>() ==
          std::vector{2, 3, 4});
    // A callback may itself use the session that waits for it.
    const auto through = knee::callback([&py](int n) { return py.eval("10").get<int>() * n; });
    CHECK(py.eval("lambda f: f(f(3))")(through).get<int>() == 300);
    py.execute("def apply(f, *a): return f(*a)");
    CHECK(py["apply"](knee::callback([](const std::string& a, double b) {
                        return a + std::to_string(static_cast<int>(b));
                      }),
                      "x", 2)
              .get<std::string>() == "x2");
  });
}

TEST_CASE("a callback may be kept, and an object may be given to one") {
  with_python([](const Python& py, SlaveProcess&) {
    std::vector<int> got;
    py.execute("def keep(f):\n    global kept\n    kept = f");
    py["keep"](knee::callback([&got](const Object& thing) {
      got.push_back(thing.attr("n").get<int>());
    })).wait();
    py.execute("class Thing: n = 7\nkept(Thing())\nkept(Thing)");
    CHECK(got == std::vector{7, 7});
    py.execute("del kept");
  });
}

TEST_CASE("what Python calls here waits while callbacks are paused, and goes on afterwards") {
#ifdef KNEE_PYTHON_BUILT
  const TemporaryFolder folder;
  std::atomic<int> called = 0;  // until the cluster has ended
  SlaveProcess gandalf;
  knee::ClusterOptions options;
  options.slaves = {gandalf.address()};
  knee::Cluster cluster(options);
  const auto py = cluster.slave("gandalf").python();
  const auto other = cluster.slave("gandalf").python();
  py.execute(
      "def ask(mark, function):\n    print('x', file=open(mark, 'a', 1))\n    return function(1)");
  other.execute("n = 0");
  cluster.pause_callbacks();
  auto asked = py["ask"].async(folder / "started", knee::callback([&called](int number) {
                                 ++called;
                                 return number + 1;
                               }));
  wait_for_marks(folder / "started");
  // Time for the call to come; without it the test cannot fail.
  for (int i = 0; i < 10; ++i) CHECK(other.eval("n").get<int>() == 0);
  CHECK(called == 0);
  CHECK_FALSE(asked.ready());
  cluster.resume_callbacks();
  CHECK(asked.get().get<int>() == 2);
  CHECK(called == 1);
#endif
}

TEST_CASE("what Python prints comes out at the driver with its slave's name") {
#ifdef KNEE_PYTHON_BUILT
  SlaveProcess gandalf;
  DriverProcess driver({.part = "print_from_python", .slaves = {gandalf.address()}});
  CHECK(driver.wait() == 0);
  INFO(driver.err());
  CHECK_THAT(driver.out(), Catch::StartsWith("[gandalf:") && Catch::EndsWith("] said by Python\n"));
#endif
}

TEST_CASE("what a callback throws is raised in Python, and what it raises comes back here") {
  with_python([](const Python& py, SlaveProcess&) {
    const auto fails =
        knee::callback([](int) -> int { throw std::out_of_range("no such number"); });
    py.execute(
        "import knee\n"
        "def tried(f):\n"
        "    try:\n        f(1)\n"
        "    except knee.Error as error:\n        return str(error)\n");
    CHECK_THAT(py["tried"](fails).get<std::string>(),
               Contains("std::out_of_range: no such number"));
    const auto error = error_of_python([&] { py.eval("lambda f: f(1)")(fails).wait(); });
    CHECK(error.exception_type() == "knee.Error");
    CHECK_THAT(error.exception_text(), Contains("no such number"));
  });
}

TEST_CASE("results are promises too: ready, then, several at once") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("import time\ndef slow(x):\n    time.sleep(0.05)\n    return x");
    auto later = py["slow"].async(5);
    CHECK(wait_until([&] { return later.ready(); }));
    CHECK(later.get().as_integer() == 5);
    std::mutex mutex;
    std::vector<int> came;
    for (int i = 0; i < 3; ++i) {
      py["slow"].async(i).then([&](const Value& value) {
        const std::lock_guard lock(mutex);
        came.push_back(value.get<int>());
      });
    }
    CHECK(wait_until([&] {
      const std::lock_guard lock(mutex);
      return came.size() == 3;
    }));
    CHECK(came == std::vector{0, 1, 2});
  });
}

TEST_CASE("threads that Python starts run while the session idles") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute(
        "import threading, time\n"
        "count = 0\n"
        "def work():\n"
        "    global count\n"
        "    while count < 100:\n        count += 1\n        time.sleep(0.001)\n"
        "threading.Thread(target=work, daemon=True).start()");
    CHECK(wait_until([&] { return py["count"].get<int>() == 100; }));
  });
}

TEST_CASE("several threads of the driver use one session") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("total = 0\ndef add(n):\n    global total\n    total += n\n    return total");
    const auto add = py["add"];
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&add] {
        for (int n = 0; n < 50; ++n) add(1).wait();
      });
    for (auto& thread : threads) thread.join();
    CHECK(py["total"].get<int>() == 200);
  });
}

TEST_CASE("the process ends with the last reference to it") {
  with_python([](Python py, SlaveProcess&) {
    const auto pid = py.module("os").call("getpid").get<int>();
    auto sys = py.module("sys");
    sys.wait();
    py = Python();
    CHECK(sys.attr("maxsize").get<std::int64_t>() > 0);  // an object keeps it
    CHECK(is_alive(pid));
    sys = Object();
    CHECK(wait_until([pid] { return !is_alive(pid); }));
  });
}

TEST_CASE("a session that is closed ends at once, whatever it does") {
  with_python([](Python py, SlaveProcess&) {
    const auto pid = py.module("os").call("getpid").get<int>();
    const auto sys = py.module("sys");
    auto endless = py.async_execute("while True: pass");
    py.close();
    CHECK(error_of_python([&] { endless.get(); }).kind() == Error::Kind::cancelled);
    CHECK(wait_until([pid] { return !is_alive(pid); }));
    CHECK_THROWS_AS(sys.attr("path").wait(), Error);
    CHECK_THROWS_AS(py.eval("1"), Error);
  });
}
