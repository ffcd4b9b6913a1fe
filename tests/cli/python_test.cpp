#include <signal.h>
#include <termios.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <string>

#include "tests/system/harness/child_process.h"
#include "tests/system/harness/slave_process.h"
#include "tests/system/harness/temporary_folder.h"
#include "tests/system/harness/terminal.h"

using namespace knee::test;
using Catch::Contains;

namespace {

/// `knee python` in a shell, with what stands behind it.
struct PythonTool : ChildProcess {
  PythonTool(const SlaveProcess& slave, const std::string& rest, const std::string& state = {})
      : ChildProcess({{"sh", "-c", "exec " KNEE_TOOL " python gandalf " + rest},
                      {{"KNEE_SLAVES", slave.address()},
                       {"XDG_STATE_HOME", state},
                       {"LC_ALL", "C.UTF-8"}}}) {}
};

}  // namespace

TEST_CASE("knee python runs a script that comes on standard input") {
  SlaveProcess slave;
  PythonTool good(slave, "<<'END'\nfor i in range(2):\n    print('line', i)\nEND");
  CHECK(good.wait() == 0);
  CHECK(good.out() == "line 0\nline 1\n");
  PythonTool bad(slave, "<<'END'\nprint('before')\n1 / 0\nEND");
  CHECK(bad.wait() == 1);
  CHECK(bad.out() == "before\n");
  CHECK_THAT(bad.err(), Contains("ZeroDivisionError: division by zero") && Contains("line 2"));
  PythonTool leaves(slave, "<<'END'\nimport sys\nsys.exit(7)\nEND");
  CHECK(leaves.wait() == 7);
}

TEST_CASE("knee python on a terminal is a prompt") {
  const Terminal terminal;
  SlaveProcess slave;
  PythonTool tool(slave, std::string("< ") + terminal.name());
  tool.wait_for_out(">>> ");
  terminal.type("n = 20\nn + 1\n");
  tool.wait_for_out("21\n");
  terminal.type("def f(x):\n");
  tool.wait_for_out("... ");
  terminal.type("    return 2 * x\n\nf(n)\n");
  tool.wait_for_out("40\n");
  terminal.type("1 / 0\n");
  tool.wait_for_err("ZeroDivisionError");
  terminal.type("import time; print('asleep'); time.sleep(1000)\n");
  tool.wait_for_out("asleep\n");
  tool.signal(SIGINT);
  tool.wait_for_err("KeyboardInterrupt");
  terminal.type("print('goes', 'on')\n");
  tool.wait_for_out("goes on\n");
  terminal.type("exit(4)\n");
  CHECK(tool.wait() == 4);
}

TEST_CASE("Ctrl-C at the prompt of knee python drops what was typed") {
  SlaveProcess slave;
  const TemporaryFolder state;
  Terminal terminal;
  PythonTool tool(slave, "<> " + terminal.name() + " >&0", state.path());
  REQUIRE(terminal.wait_for(">>> "));
  terminal.type("def f():\n");
  REQUIRE(terminal.wait_for("... "));
  terminal.type("  exit(\x03");
  REQUIRE(terminal.wait_for(">>> "));
  tool.wait_for_err("KeyboardInterrupt");
  terminal.type("print('2 Äpfel'[2:])\n");
  CHECK(terminal.wait_for("\nÄpfel"));
  // Ctrl-C is a signal again while something runs.
  terminal.type("import time; print('as' + 'leep'); time.sleep(1000)\n");
  CHECK(terminal.wait_for("asleep"));
  tool.signal(SIGINT);
  REQUIRE(terminal.wait_for(">>> "));
  terminal.type("exit(3)\n");
  CHECK(tool.wait() == 3);
}

TEST_CASE("Ctrl-D that was typed while something runs ends knee python after it") {
  SlaveProcess slave;
  const TemporaryFolder state;
  Terminal terminal;
  const auto end_key = terminal.key(VEOF);
  PythonTool tool(slave, "<> " + terminal.name() + " >&0", state.path());
  REQUIRE(terminal.wait_for(">>> "));
  terminal.type("import time; print('as' + 'leep'); time.sleep(0.5); print('aw' + 'ake')\n");
  CHECK(terminal.wait_for("asleep"));
  terminal.type("\x04");
  CHECK(terminal.wait_for("awake"));
  CHECK(tool.wait() == 0);
  CHECK(terminal.key(VEOF) == end_key);  // as it was before
}

TEST_CASE("nothing is left on the slave of a knee python that was killed") {
  SlaveProcess slave;
  PythonTool tool(slave, "<<'END'\nprint('here')\nimport time\ntime.sleep(1000)\nEND");
  tool.wait_for_out("here");
  CHECK_FALSE(slave.family().empty());
  tool.kill();
  CHECK(wait_until([&] { return slave.family().empty(); }));
}

TEST_CASE("knee python on a terminal has the lines of earlier times") {
  SlaveProcess slave;
  const TemporaryFolder state;
  const auto type = [&](const std::string& line) {
    Terminal terminal;
    PythonTool tool(slave, "<> " + terminal.name() + " >&0", state.path());
    REQUIRE(terminal.wait_for(">>> "));
    terminal.type(line);
    CHECK(terminal.wait_for("6 apples"));
    CHECK(terminal.wait_for(">>> "));
    terminal.type("\x04");
    CHECK(tool.wait() == 0);
  };
  type("print(2 * 3, 'apples')\n");
  type("\x10\n");  // Ctrl-P: the line before
}
