#include "tests/system/python/session.h"

#include <knee/remote_stream.h>

#include <fstream>
#include <sstream>
#include <string>

#include "tests/system/harness/child_process.h"
#include "tests/system/harness/temporary_folder.h"

using namespace knee::test;
using Catch::Contains;
using knee::Object;
using knee::Python;

namespace {

/// Longer than one chunk, and of characters of two and three bytes, so that chunks cut them.
std::string long_text() {
  std::string text;
  for (int i = 0; text.size() < 300'000; ++i)
    text += "Z\xc3\xa4hler \xe2\x86\x92 " + std::to_string(i) + '\n';
  return text;
}

}  // namespace

TEST_CASE("an open file of a Python session is read line by line as a stream") {
  with_python([](const Python& py, SlaveProcess&) {
    const TemporaryFolder folder;
    std::ofstream(folder / "lines") << "first\nsecond\n" << long_text();
    for (const char* mode : {"r", "rb"}) {
      INFO(mode);
      knee::RemoteStream in(py.builtins("open")(folder / "lines", mode));
      std::string line;
      REQUIRE(std::getline(in, line));
      CHECK(line == "first");
      REQUIRE(std::getline(in, line));
      CHECK(line == "second");
      std::ostringstream rest;
      rest << in.rdbuf();
      CHECK(rest.str() == long_text());
      CHECK(in.error() == "");
      in.close();
    }
  });
}

TEST_CASE("a stream writes text and bytes into an open file of a Python session") {
  with_python([](const Python& py, SlaveProcess&) {
    const TemporaryFolder folder;
    for (const char* mode : {"w", "wb"}) {
      INFO(mode);
      const std::string path = folder / mode;
      const Object file = py.builtins("open")(path, mode);
      knee::RemoteStream out(file);
      out << "one\n" << std::flush;
      CHECK(content_of(path) == "one\n");
      out << long_text();
      out.close();
      CHECK(content_of(path) == "one\n" + long_text());
      CHECK(file.attr("closed").get<bool>());
    }
  });
}

TEST_CASE("what a stream fails on is said by the session's exception") {
  with_python([](const Python& py, SlaveProcess&) {
    const TemporaryFolder folder;
    std::ofstream(folder / "read only") << "something\n";
    knee::RemoteStream out(py.builtins("open")(folder / "read only"));
    out << "more" << std::flush;
    CHECK(out.bad());
    CHECK_THAT(out.error(), Contains("not writable"));

    knee::RemoteStream none(py.builtins("open")(folder / "missing"));
    std::string line;
    CHECK_FALSE(std::getline(none, line));
    CHECK_THAT(none.error(), Contains("No such file") && Contains("missing"));

    knee::RemoteStream cut(py.builtins("open")(folder / "cut", "w"));
    cut << "half a character: \xe2\x86";
    CHECK_THROWS_WITH(cut.close(), Contains("decode"));
  });
}
