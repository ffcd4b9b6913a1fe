#include "tests/system/python/session.h"

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "tests/system/harness/marks.h"
#include "tests/system/harness/temporary_folder.h"
#include "tests/system/harness/wait_until.h"

using namespace knee::test;
using knee::Object;
using knee::Python;

namespace {

/// In a task.
std::string ask(const Object& session_object, const std::string& text) {
  return session_object.call("upper").call("replace", "GANDALF", text).get<std::string>();
}

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
