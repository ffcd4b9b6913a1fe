#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <catch2/catch.hpp>

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/cli/tool_process.h"
#include "tests/system/harness/terminal.h"

using namespace knee::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

void put(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace

TEST_CASE("knee cp copies a file to a slave and back") {
  const TemporaryFolder home;
  SlaveProcess slave({.environment = {{"HOME", home.path()}}});
  const TemporaryFolder here;
  Script script(slave, "cd " + here.path().string() +
                           " && echo text > in && chmod 750 in && $knee cp in gandalf:there && "
                           "$knee cp gandalf:there out && stat -c %a out && cat out");
  CHECK(script.wait() == 0);
  CHECK(script.out() == "750\ntext\n");
  CHECK(complaints_of(script) == "");
  CHECK(content_of(home / "there") == "text\n");
}

TEST_CASE("knee cp copies several files into a folder, and folders with -r") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Script script(slave, "cd " + here.path().string() +
                           " && mkdir -p tree/deep there back && echo 1 > tree/deep/one && echo 2 "
                           "> two && mkfifo tree/pipe && "
                           "$knee cp -r tree two gandalf:$PWD/there; echo $? && "
                           "$knee cp gandalf:$PWD/there/two gandalf:$PWD/there/tree/deep/one back "
                           "&& cat there/tree/deep/one there/two back/*");
  CHECK(script.wait() == 0);
  CHECK(script.out() == "1\n1\n2\n1\n2\n");
  CHECK_THAT(script.err(), Contains("left out") && Contains("tree/pipe"));
}

TEST_CASE("knee cp that is stopped says what stays, and goes on from there") {
  SlaveProcess slave;
  const TemporaryFolder here;
  put(here / "large", "");
  fs::resize_file(here / "large", std::uintmax_t{512} << 20);
  const auto part = here / ".copy.knee-part";
  Tool tool(slave, {"cp", here / "large", "gandalf:" + here / "copy"});
  REQUIRE(wait_until([&] { return fs::exists(part) && fs::file_size(part) > 0; }));
  slave.process().stop();
  tool.signal(SIGINT);
  CHECK(tool.wait() == 128 + SIGINT);
  CHECK_THAT(tool.err(), Contains(".NAME.knee-part") && Contains("goes on from there"));
  slave.process().resume();
  CHECK_FALSE(fs::exists(here / "copy"));
  CHECK(fs::file_size(part) > 0);
  Terminal terminal;
  Script again(slave, "exec $knee cp " + here / "large" + " gandalf:" + here / "copy" + " 2> " +
                          terminal.name());
  CHECK(terminal.wait_for("were there)"));
  CHECK(terminal.wait_for("100%"));  // nobody else reads what it shows
  CHECK(again.wait() == 0);
  CHECK(fs::file_size(here / "copy") == std::uintmax_t{512} << 20);
  CHECK_FALSE(fs::exists(part));
}

TEST_CASE("knee cp shows progress on a terminal unless it is to be quiet") {
  SlaveProcess slave;
  const TemporaryFolder here;
  put(here / "file", std::string(1'000'000, 'x'));
  Terminal terminal;
  Script script(slave, "$knee cp " + here / "file" + " gandalf:" + here / "one" + " 2> " +
                           terminal.name() + "; $knee cp -q " + here / "file" +
                           " gandalf:" + here / "two" + " 2> " + here / "err");
  CHECK(terminal.wait_for("100%  1.00 MB"));
  CHECK(script.wait() == 0);
  CHECK(content_of(here / "err") == "");
}

TEST_CASE("knee ls lists a folder of a slave, and with -l what is known of each file") {
  const TemporaryFolder home;
  SlaveProcess slave({.environment = {{"HOME", home.path()}}});
  fs::create_directory(home / "folder");
  put(home / "folder/b", "12345");
  put(home / "folder/a b", "");
  ::chmod((home / "folder/b").c_str(), 0640);
  fs::create_symlink("b", home / "folder/c");
  Tool names(slave, {"ls", "gandalf:folder"});
  CHECK(names.wait() == 0);
  CHECK(names.out() == "a b\nb\nc\n");
  Tool details(slave, {"ls", "-l", "gandalf:folder"});
  CHECK(details.wait() == 0);
  CHECK_THAT(details.out(),
             Contains("-rw-r----- 5 20") && Contains(" b\n") && Contains("c -> b\n"));
  Tool both(slave, {"ls", "gandalf:", "gandalf:folder/b"});
  CHECK(both.wait() == 0);
  CHECK(both.out() == "gandalf::\nfolder\n\ngandalf:folder/b:\nfolder/b\n");
}

TEST_CASE("knee ls --json has all that is known of each file") {
  const TemporaryFolder home;
  SlaveProcess slave({.environment = {{"HOME", home.path()}}});
  fs::create_directories(home / "folder/d");
  put(home / "folder/b", "12345");
  put(home / "folder/\xff\xc3\xa4", "");
  ::chmod((home / "folder/b").c_str(), 0640);
  const timespec time{1'000'000'000, 0};
  const timespec times[] = {time, time};
  REQUIRE(::utimensat(AT_FDCWD, (home / "folder/b").c_str(), times, 0) == 0);
  fs::create_symlink("b", home / "folder/c");
  Tool tool(slave, {"ls", "--json", "gandalf:folder", "gandalf:folder/b"});
  REQUIRE(tool.wait() == 0);
  const auto list = boost::json::parse(tool.out()).as_array();
  REQUIRE(list.size() == 5);
  const auto& file = list[0].as_object();
  CHECK(file.at("place") == "gandalf:folder");
  CHECK(file.at("name") == "b");
  CHECK(file.at("type") == "file");
  CHECK(file.at("size").to_number<int>() == 5);
  CHECK(file.at("mode") == "0640");
  CHECK(file.at("modified_s").to_number<std::int64_t>() == 1'000'000'000);
  CHECK_FALSE(file.contains("target"));
  CHECK(list[1].at("name") == "c");
  CHECK(list[1].at("type") == "link");
  CHECK(list[1].at("target") == "b");
  CHECK(list[2].at("name") == "d");
  CHECK(list[2].at("type") == "folder");
  CHECK(list[3].at("name") == "\xef\xbf\xbd\xc3\xa4");  // a byte that is no UTF-8, and an a umlaut
  CHECK(list[4].at("place") == "gandalf:folder/b");
  CHECK(list[4].at("name") == "folder/b");
  const TemporaryFolder empty;
  Tool nothing(slave, {"ls", "--json", "gandalf:" + empty.path().string()});
  CHECK(nothing.wait() == 0);
  CHECK(nothing.out() == "[]\n");
}

TEST_CASE("knee ls shows control characters of names on a terminal as question marks") {
  SlaveProcess slave;
  const TemporaryFolder here;
  put(here / "a\033[2Jb", "");
  Terminal terminal;
  Script script(slave, "$knee ls gandalf:" + here.path().string() + " > " + terminal.name());
  CHECK(terminal.wait_for("a?[2Jb"));
  CHECK(script.wait() == 0);
}

TEST_CASE("knee cp and knee ls say what is wrong and end with 2 or 255") {
  SlaveProcess slave;
  const TemporaryFolder here;
  put(here / "file", "x");
  const auto expect = [&](int code, std::vector<std::string> words, const std::string& text) {
    Tool tool(slave, std::move(words));
    CHECK(tool.wait() == code);
    CHECK_THAT(tool.err(), Catch::StartsWith("knee: ") && Contains(text));
  };
  expect(2, {"cp", "gandalf:x"}, "from where to where?");
  expect(2, {"cp", here / "file", here / "copy"}, "SLAVE:PATH");
  expect(2, {"cp", here / "nothing", "gandalf:x"}, "no such file");
  expect(2, {"cp", "gandalf:" + here / "nothing", here / "x"}, "no such file");
  expect(2, {"cp", "gandalf:" + here.path().string(), here / "x"}, "it is a folder");
  expect(2, {"cp", here / "file", here / "file", "gandalf:" + here / "x"}, "no folder");
  expect(2, {"cp", here / "file", "frodo:x"}, "no slave has the name 'frodo'");
  expect(255, {"cp", here / "file", "gandalf:" + here / "no/such/x"}, "make it first");
  expect(2, {"ls", here.path()}, "SLAVE:PATH");
  expect(2, {"ls", "gandalf:" + here / "nothing"}, "there is no");
}
