#include "tests/system/python/session.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>

#include "tests/system/harness/process_view.h"
#include "tests/system/harness/temporary_folder.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/wait_until.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;
using knee::Python;
using knee::Value;

TEST_CASE("an exception comes with its type, its text and where it was raised") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute("def outer(x):\n    return inner(x)\ndef inner(x):\n    return 1 / x\n");
    const auto error = error_of_python([&] { py["outer"](0).get<int>(); });
    CHECK(error.kind() == Error::Kind::exception);
    CHECK(error.slave() == "gandalf");
    CHECK(error.exception_type() == "ZeroDivisionError");
    CHECK(error.exception_text() == "division by zero");
    CHECK_THAT(error.traceback(), Contains("in outer") && Contains("in inner") &&
                                      Contains("return 1 / x") && !Contains("<knee>"));
    CHECK_THAT(error.what(), Contains("gandalf") &&
                                 Contains("ZeroDivisionError: division by zero") &&
                                 Contains("return 1 / x"));
    CHECK(error_of_python([&] { py.execute("import json; json.loads('{')"); }).exception_type() ==
          "json.decoder.JSONDecodeError");
    CHECK(error_of_python([&] { py.execute("x = = 1"); }).exception_type() == "SyntaxError");
    CHECK(error_of_python([&] { py.execute("exit(3)"); }).exception_type() == "SystemExit");
    CHECK(error_of_python([&] { py["missing"].wait(); }).exception_type() == "KeyError");
    CHECK(error_of_python([&] { py.module("nosuchmodule").wait(); }).exception_type() ==
          "ModuleNotFoundError");
    CHECK(py.eval("1").get<int>() == 1);
  });
}

TEST_CASE("what is called on something that failed fails for the same reason") {
  with_python([](const Python& py, SlaveProcess&) {
    const auto error =
        error_of_python([&] { (void)py.eval("1/0").attr("x").call("f", 1).get<int>(); });
    INFO(error.what());
    CHECK(error.exception_type() == "ZeroDivisionError");
    const auto failed = py.eval("1/0");
    CHECK(error_of_python([&] { (void)failed.attr("x").str(); }).exception_type() ==
          "ZeroDivisionError");
    CHECK(error_of_python([&] { failed.wait(); }).exception_type() == "ZeroDivisionError");
  });
}

TEST_CASE("a callback that waits for a session which waits for a callback after it gets an error") {
  const TemporaryFolder folder;
  with_python([&](const Python& py, SlaveProcess&) {
    py.execute(
        "def ask(mark, function):\n    print('x', file=open(mark, 'a', 1))\n    return function()");
    knee::Promise<Value> first;
    std::string error;
    std::atomic<bool> looked = false;
    py.async_eval("1").then([&](const Value&) {
      first = py["ask"].async(folder / "started", knee::callback([] { return 3; }));
      wait_for_marks(folder / "started");
      error = error_of_python([&] { py.eval("2").get<int>(); }).what();
      looked = true;
    });
    REQUIRE(wait_until([&] { return looked.load(); }));
    CHECK_THAT(error, Contains("could never end"));
    CHECK(first.get().get<int>() == 3);
    CHECK(py.eval("2").get<int>() == 2);
  });
}

TEST_CASE(
    "when its slave is lost a session fails in words, and a new one may be had with the slave") {
#ifdef KNEE_PYTHON_BUILT
  const TemporaryFolder folder;
  SlaveProcess gandalf;
  knee::ClusterOptions options;
  options.slaves = {gandalf.address()};
  options.insecure = true;
  options.commands_only = true;
  knee::Cluster cluster(options);
  const auto slave = cluster.slave("gandalf");
  const auto py = slave.python();
  py.execute("import time\ndef hang(mark):\n    open(mark, 'w').write('x')\n    time.sleep(1000)");
  auto hanging = py["hang"].async(folder / "started");
  wait_for_marks(folder / "started");
  gandalf.kill();
  CHECK(error_of_python([&] { hanging.get(); }).kind() == Error::Kind::slave_lost);
  CHECK(error_of_python([&] { py.eval("1").get<int>(); }).kind() == Error::Kind::slave_lost);
  gandalf.start();
  CHECK(slave.python().eval("1 + 1").get<int>() == 2);
#endif
}

TEST_CASE("a slave is none the worse for a session that has crashed") {
  with_python([](const Python& py, SlaveProcess& gandalf) {
    const auto error = error_of_python(
        [&] { py.execute("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"); });
    CHECK(error.kind() == Error::Kind::crashed);
    knee::ClusterOptions options;
    options.slaves = {gandalf.address()};
    options.insecure = true;
    options.commands_only = true;
    knee::Cluster other(options);
    CHECK(other.slave("gandalf").python().eval("1 + 1").get<int>() == 2);
  });
}

TEST_CASE("a callback that a thread of Python's calls says where it can be called") {
  with_python([](const Python& py, SlaveProcess&) {
    py.execute(
        "import threading\n"
        "def call_on_a_thread(function):\n"
        "    seen = []\n"
        "    def run():\n"
        "        try: function()\n"
        "        except Exception as error: seen.append(type(error).__name__ + ': ' + str(error))\n"
        "    thread = threading.Thread(target=run)\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "    return seen[0]\n");
    CHECK_THAT(py["call_on_a_thread"](knee::callback([] {})).get<std::string>(),
               Catch::StartsWith("Error: ") && Contains("only on the thread"));
  });
}

TEST_CASE("an interrupt ends what Python does with KeyboardInterrupt, and nothing else") {
  with_python([](const Python& py, SlaveProcess&) {
    const TemporaryFolder folder;
    const auto started = folder / "started";
    py.execute(
        "import time\ndef hang(mark, wait):\n    print('x', file=open(mark, 'a', 1))\n    wait()\n"
        "def spin():\n    while True: pass\ndef sleep(): time.sleep(1000)");
    for (const std::string wait : {"spin", "sleep"}) {
#ifdef __SANITIZE_THREAD__
      // It keeps a signal until the program calls what it intercepts, and a loop of Python's does
      // not.
      if (wait == "spin") continue;
#endif
      auto hanging = py["hang"].async(started + wait, py[wait]);
      wait_for_marks(started + wait);
      py.interrupt();
      CHECK(error_of_python([&] { hanging.get(); }).exception_type() == "KeyboardInterrupt");
    }
    // One that meets nothing is for nobody, unless something has begun by the time it gets there.
    py.interrupt();
    int interrupted = 0;
    for (int i = 0; i < 100; ++i) {
      try {
        const int sum = py.eval("40 + 2").get<int>();  // not in CHECK, which catches for itself
        CHECK(sum == 42);
      } catch (const Error& error) {
        CHECK(error.exception_type() == "KeyboardInterrupt");
        ++interrupted;
      }
    }
    CHECK(interrupted <= 1);
  });
}

TEST_CASE("an interrupt ends the wait for a callback too") {
  with_python([](const Python& py, SlaveProcess&) {
    std::promise<void> go;
    std::promise<void> ended;
    const auto wait = knee::callback([&](int) {
      py.interrupt();
      go.get_future().wait();
      ended.set_value();
      return 1;
    });
    const auto error = error_of_python([&] {
      auto waiting = py.eval("lambda f: f(1)").async(wait);
      CHECK(wait_until([&] { return waiting.ready(); }));
      go.set_value();
      ended.get_future().wait();
      waiting.get();
    });
    CHECK(error.exception_type() == "KeyboardInterrupt");
    CHECK(py.eval("1").get<int>() == 1);
  });
}

TEST_CASE("Ctrl-C in the driver interrupts the session while somebody wants that") {
  with_python([](const Python& py, SlaveProcess&) {
    const TemporaryFolder folder;
    const auto started = folder / "started";
    const knee::InterruptOnSigint guard(py);
    auto hanging = py.async_execute("import time\nprint('x', file=open('" + started +
                                    "', 'a', 1))\ntime.sleep(1000)");
    wait_for_marks(started);
    ::kill(::getpid(), SIGINT);
    CHECK(error_of_python([&] { hanging.get(); }).exception_type() == "KeyboardInterrupt");
    CHECK_THROWS_AS(knee::InterruptOnSigint(py), Error);
  });
}

TEST_CASE("a session whose process dies fails with what is known of that") {
  with_python([](const Python& py, SlaveProcess&) {
    const auto pid = py.module("os").call("getpid").get<int>();
    auto endless = py.async_execute("import time; time.sleep(1000)");
    ::kill(pid, SIGKILL);
    CHECK(error_of_python([&] { endless.get(); }).kind() == Error::Kind::crashed);
    CHECK(error_of_python([&] { py.execute("1"); }).kind() == Error::Kind::crashed);
  });
}

#ifdef KNEE_PYTHON_BUILT
TEST_CASE("a slave without Python says so in one clear error") {
  SlaveProcess gandalf;
  ::setenv("KNEE_PYTHON", KNEE_NO_PYTHON, 1);
  knee::ClusterOptions options;
  options.slaves = {gandalf.address()};
  {
    knee::Cluster cluster(options);
    const auto py = cluster.slave("gandalf").python();
    const auto error = error_of_python([&] { py.execute("n=2"); });
    CHECK(error.kind() == Error::Kind::setup);
    CHECK(error.slave() == "gandalf");
    CHECK_THAT(error.what(), Contains("no Python session on slave gandalf") &&
                                 Contains("libpython3.99.so is missing") &&
                                 Contains("apt install libpython3.99"));
  }
  ::setenv("KNEE_PYTHON", KNEE_PYTHON_BUILT, 1);
}

TEST_CASE("a knee-python that is not there is an error at once") {
  SlaveProcess gandalf;
  ::setenv("KNEE_PYTHON", "/nonexistent/knee-python", 1);
  {
    knee::ClusterOptions options;
    options.slaves = {gandalf.address()};
    knee::Cluster cluster(options);
    const auto error = error_of_python([&] { (void)cluster.slave("gandalf").python(); });
    CHECK(error.kind() == Error::Kind::setup);
    CHECK_THAT(error.what(), Contains("/nonexistent/knee-python"));
  }
  ::setenv("KNEE_PYTHON", KNEE_PYTHON_BUILT, 1);
}
#else
TEST_CASE("a Knee that was built without Python says so") {
  SlaveProcess gandalf;
  knee::ClusterOptions options;
  options.slaves = {gandalf.address()};
  knee::Cluster cluster(options);
  const auto error = error_of_python([&] { (void)cluster.slave("gandalf").python(); });
  CHECK(error.kind() == Error::Kind::setup);
  CHECK_THAT(error.what(), Contains("-DKNEE_PYTHON=ON"));
}
#endif

TEST_CASE("a Python object called as a C++ one, and the reverse, say what they are") {
  with_python([](const Python& py, SlaveProcess&) {
    const auto nothing = knee::Object();
    CHECK_THROWS_AS(nothing.attr("x"), Error);
    CHECK_THROWS_AS(knee::Python().eval("1"), Error);
    (void)py;
  });
}
