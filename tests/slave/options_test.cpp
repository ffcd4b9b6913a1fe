#include "slave/options.h"

#include <catch2/catch.hpp>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "slave/machine.h"

using namespace knee;
using slave::ParsedOptions;

namespace {

struct Result {
  ParsedOptions parsed;
  std::string out;
  std::string err;
};

/// Catches a stream's text.
class Captured {
 public:
  explicit Captured(std::ostream& stream) : stream_(stream), old_(stream.rdbuf(text_.rdbuf())) {}
  ~Captured() { stream_.rdbuf(old_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostream& stream_;
  std::ostringstream text_;
  std::streambuf* old_;
};

Result parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "knee-slave");
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  Captured out(std::cout);
  Captured err(std::cerr);
  Result result;
  result.parsed = slave::parse_options(static_cast<int>(arguments.size()), argv.data());
  result.out = out.text();
  result.err = err.text();
  return result;
}

slave::Options good(std::vector<std::string> arguments) {
  const auto result = parse(std::move(arguments));
  INFO(result.err);
  REQUIRE_FALSE(result.parsed.exit.has_value());
  CHECK(result.err.empty());
  CHECK(result.out.empty());
  return result.parsed.options;
}

/// The error text.
std::string bad(std::vector<std::string> arguments) {
  const auto result = parse(std::move(arguments));
  REQUIRE(result.parsed.exit.has_value());
  CHECK(*result.parsed.exit == 2);
  CHECK_FALSE(result.err.empty());
  return result.err;
}

}  // namespace

TEST_CASE("without options: this machine's name and cores, the default socket, no end") {
  const auto options = good({});
  CHECK(options.listen.empty());
  CHECK(options.dial.empty());
  CHECK(options.name == slave::host_name());
  CHECK(options.slots == slave::usable_cores());
  CHECK(options.store.empty());
  CHECK(options.store_size == 0);
  CHECK(options.idle_exit.count() == 0);
  CHECK(options.lifetime.count() == 0);
  CHECK_FALSE(options.insecure);
  CHECK(options.inherited == -1);
}

TEST_CASE("every option is taken in") {
  const auto options = good({"--listen", ":7",          "--listen", "unix:/tmp/s", "--dial",
                             "bilbo",    "--dial",      "[::1]:9",  "--name",      "gandalf",
                             "--slots",  "3",           "--store",  "/var/knee",   "--store-size",
                             "20GB",     "--idle-exit", "60",       "--insecure",  "--inherited",
                             "5",        "--lifetime",  "3600"});
  REQUIRE(options.listen.size() == 2);
  CHECK(options.listen[0] == rpc::Address::parse(":7"));
  CHECK(options.listen[1] == rpc::Address::parse("unix:/tmp/s"));
  REQUIRE(options.dial.size() == 2);
  CHECK(options.dial[0] == rpc::Address::parse("bilbo:18812"));
  CHECK(options.dial[1] == rpc::Address::parse("[::1]:9"));
  CHECK(options.name == "gandalf");
  CHECK(options.slots == 3);
  CHECK(options.store == "/var/knee");
  CHECK(options.store_size == std::uint64_t{20} << 30);
  CHECK(options.idle_exit == std::chrono::seconds(60));
  CHECK(options.lifetime == std::chrono::hours(1));
  CHECK(options.insecure);
  CHECK(options.inherited == 5);
}

TEST_CASE("sizes may be plain bytes or have a unit") {
  const auto [text, bytes] = GENERATE(table<const char*, std::uint64_t>({
      {"1000000", 1000000},
      {"500MB", std::uint64_t{500} << 20},
      {"2 GB", std::uint64_t{2} << 30},
      {"1tb", std::uint64_t{1} << 40},
  }));
  CHECK(good({"--store-size", text}).store_size == bytes);
}

TEST_CASE("help and version go to stdout and end well") {
  const auto help = parse({"--help"});
  REQUIRE(help.parsed.exit == 0);
  for (const char* flag : {"--listen", "--dial", "--name", "--slots", "--store", "--store-size",
                           "--idle-exit", "--lifetime", "--insecure", "--version", "Examples:"})
    CHECK_THAT(help.out, Catch::Contains(flag));
  CHECK_THAT(help.out, !Catch::Contains("--inherited"));
  const auto version = parse({"--version"});
  REQUIRE(version.parsed.exit == 0);
  CHECK_THAT(version.out, Catch::StartsWith("knee-slave "));
}

TEST_CASE("TCP without --insecure is refused with what to do instead") {
  const auto option = GENERATE("--listen", "--dial");
  const auto text = bad({option, "127.0.0.1:7"});
  CHECK_THAT(text, Catch::Contains("--insecure") && Catch::Contains("ssh -L") &&
                       Catch::Contains("run programs as this user"));
}

TEST_CASE("a Unix socket needs no --insecure") {
  CHECK(good({"--listen", "unix:/tmp/s"}).listen.size() == 1);
  CHECK(good({"--dial", "unix:/tmp/s"}).dial.size() == 1);
}

TEST_CASE("what cannot be is refused by name") {
  CHECK_THAT(bad({"--listen", "host:99999", "--insecure"}),
             Catch::Contains("bad address 'host:99999'") && Catch::Contains("0 to 65535"));
  CHECK_THAT(bad({"--dial", "::1", "--insecure"}), Catch::Contains("needs brackets"));
  CHECK_THAT(bad({"--slots", "0"}), Catch::Contains("--slots"));
  CHECK_THAT(bad({"--slots", "-2"}), Catch::Contains("--slots"));
  CHECK_THAT(bad({"--slots", "many"}), Catch::Contains("--slots") && Catch::Contains("many"));
  CHECK_THAT(bad({"--slots", "65536"}), Catch::Contains("--slots"));
  CHECK_THAT(bad({"--store-size", "big"}), Catch::Contains("--store-size"));
  CHECK_THAT(bad({"--store-size", "5XB"}), Catch::Contains("unit not recognized"));
  CHECK_THAT(bad({"--idle-exit", "0"}), Catch::Contains("--idle-exit"));
  CHECK_THAT(bad({"--idle-exit", "soon"}), Catch::Contains("--idle-exit"));
  CHECK_THAT(bad({"--lifetime", "0"}), Catch::Contains("--lifetime"));
  CHECK_THAT(bad({"--lifetime", "-5"}), Catch::Contains("--lifetime"));
  CHECK_THAT(bad({"--name"}), Catch::Contains("--name"));
  CHECK_THAT(bad({"--frobnicate"}), Catch::Contains("--frobnicate"));
  CHECK_THAT(bad({"gandalf"}), Catch::Contains("gandalf"));
}
