#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <string>

#include "tests/cli/keyboard.h"
#include "tests/system/harness/child_process.h"
#include "tests/system/harness/slave_process.h"

using namespace knee::test;
using Catch::Contains;

namespace {

/// `knee python` in a shell, with what stands behind it.
struct PythonTool : ChildProcess {
  PythonTool(const SlaveProcess& slave, const std::string& rest)
      : ChildProcess({{"sh", "-c", "exec " KNEE_TOOL " python gandalf " + rest},
                      {{"KNEE_SLAVES", slave.address()}}}) {}
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
  const Keyboard keyboard;
  if (!keyboard.is_there()) return;
  SlaveProcess slave;
  PythonTool tool(slave, std::string("< ") + keyboard.name());
  tool.wait_for_out(">>> ");
  keyboard.type("n = 20\nn + 1\n");
  tool.wait_for_out("21\n");
  keyboard.type("def f(x):\n");
  tool.wait_for_out("... ");
  keyboard.type("    return 2 * x\n\nf(n)\n");
  tool.wait_for_out("40\n");
  keyboard.type("1 / 0\n");
  tool.wait_for_err("ZeroDivisionError");
  keyboard.type("import time; print('asleep'); time.sleep(1000)\n");
  tool.wait_for_out("asleep\n");
  tool.signal(SIGINT);
  tool.wait_for_err("KeyboardInterrupt");
  keyboard.type("print('goes', 'on')\n");
  tool.wait_for_out("goes on\n");
  keyboard.type("exit(4)\n");
  CHECK(tool.wait() == 4);
}
