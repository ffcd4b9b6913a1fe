#include "tests/system/python/session.h"

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/harness/temporary_folder.h"
#include "tests/system/harness/wait_until.h"

using namespace knee::test;
using namespace std::chrono_literals;
using knee::Object;
using knee::Python;
using knee::Value;

/// Everything that RPyC's classic mode is used for, in the order in which its tutorial has it.
TEST_CASE("the transcript of a classic session works from its beginning to its end") {
  with_python([](Python py, SlaveProcess&) {
    const TemporaryFolder folder;
    std::ofstream(folder / "mymodule.py") << "import time\n"
                                             "class MyClass:\n"
                                             "    def __init__(self, n):\n"
                                             "        self.n = n\n"
                                             "        self.t = 0.1\n"
                                             "    def f(self, x):\n"
                                             "        time.sleep(self.t)\n"
                                             "        return self.n + x\n";
    // conn.execute, conn.eval
    py.execute("n=2");
    CHECK(py.eval("n+1").get<int>() == 3);
    // conn.builtins.open(...).read()
    const Object file = py.builtins("open")(folder / "mymodule.py");
    CHECK(file.call("read").get<std::string>().starts_with("import time\nclass MyClass"));
    file.call("close").wait();
    // for line in conn.builtins.open(...)
    knee::RemoteStream in(py.builtins("open")(folder / "mymodule.py"));
    std::string line;
    REQUIRE(std::getline(in, line));
    CHECK(line == "import time");
    // conn.modules.sys.path.append, conn.modules["mymodule"].MyClass(0)
    py.module("sys").attr("path").call("append", folder.path().string()).wait();
    const Object o = py.module("mymodule").attr("MyClass")(0);
    CHECK(o.call("f", 3).get<int>() == 3);
    // o.t = 2; o.f(3) takes that long
    o.set("t", 2);
    CHECK(o.attr("t").get<int>() == 2);
    CHECK(time_of([&] { CHECK(o.call("f", 3).get<int>() == 3); }) >= 1900ms);
    // list(map(local, remote))
    const auto mapped = py.builtins("list")(
        py.builtins("map")(knee::callback([](int n) { return n + 1; }), std::vector{1, 2, 3}));
    CHECK(mapped.get<std::vector<int>>() == std::vector{2, 3, 4});
    // rpyc.async_(o.f)(5): ready, value
    auto later = o.async_call("f", 5);
    CHECK_FALSE(later.ready());
    CHECK(wait_until([&] { return later.ready(); }));
    CHECK(later.get().as_integer() == 5);
    // add_callback, while the main thread goes on
    std::atomic<int> arrived = 0;
    o.async_call("f", 6).then([&arrived](const Value& value) { arrived = value.get<int>(); });
    int steps = 0;
    CHECK(wait_until([&] { return ++steps > 0 && arrived != 0; }));
    CHECK(arrived == 6);
    CHECK(steps > 10);
    // conn.close()
    py.close();
    CHECK_THROWS_AS(o.call("f", 3).get<int>(), knee::Error);
  });
}
