#include "client/config/resolve.h"

#include <knee/error.h>
#include <catch2/catch.hpp>

#include "client/config/value.h"
#include "tests/client/config/surroundings_fixture.h"

namespace knee::config {
namespace {

using Catch::Matchers::Contains;
using Strings = std::vector<std::string>;
using namespace std::chrono_literals;

TEST_CASE("nothing said gives the defaults") {
  const ClusterOptions options = FakeSurroundings().options();
  const ClusterOptions defaults;
  CHECK(options.slaves.empty());
  CHECK(options.listen.empty());
  CHECK(options.slots == defaults.slots);
  CHECK_FALSE(options.local);
  CHECK_FALSE(options.insecure);
  CHECK(options.ship.empty());
  CHECK(options.environment.empty());
  CHECK_FALSE(options.progress.has_value());
  CHECK(options.cancel_grace == defaults.cancel_grace);
  CHECK(options.heartbeat == 2s);
}

TEST_CASE("every option can be given on the command line") {
  FakeSurroundings around;
  around.files["hosts.txt"] = "sam\n";
  const ClusterOptions options =
      around.options({"--knee-slaves", "gandalf, frodo:1", "--knee-slaves=[::1]:2", "--knee-hosts",
                      "hosts.txt", "--knee-listen=:5", "--knee-listen=unix:/tmp/s", "--knee-local",
                      "--knee-slots=4", "--knee-insecure", "--knee-ship=a,b.so", "--knee-ship=c.so",
                      "--knee-env=A=1,2", "--knee-env=B=", "--knee-no-progress",
                      "--knee-cancel-grace=500ms", "--knee-heartbeat=100ms"});
  CHECK(options.slaves == Strings{"gandalf", "frodo:1", "[::1]:2", "sam"});
  CHECK(options.listen == Strings{":5", "unix:/tmp/s"});
  CHECK(options.local);
  CHECK(options.slots == 4);
  CHECK(options.insecure);
  CHECK(options.ship == Strings{"a,b.so", "c.so"});
  CHECK(options.environment == Strings{"A=1,2", "B="});
  CHECK(options.progress == false);
  CHECK(options.cancel_grace == 500ms);
  CHECK(options.heartbeat == 100ms);
}

TEST_CASE("every option can be given as a variable") {
  FakeSurroundings around;
  around.files["hosts.txt"] = "sam\n";
  around.variables = {{"KNEE_SLAVES", "gandalf,frodo"},
                      {"KNEE_HOSTS", "hosts.txt"},
                      {"KNEE_LISTEN", ":5,:6"},
                      {"KNEE_LOCAL", "1"},
                      {"KNEE_SLOTS", "4"},
                      {"KNEE_INSECURE", "yes"},
                      {"KNEE_SHIP", "a.so\nb.so"},
                      {"KNEE_ENV", "A=1,2\n\n B=3\n"},
                      {"KNEE_PROGRESS", "on"},
                      {"KNEE_CANCEL_GRACE", "2s"},
                      {"KNEE_HEARTBEAT", "3s"}};
  const ClusterOptions options = around.options();
  CHECK(options.slaves == Strings{"gandalf", "frodo", "sam"});
  CHECK(options.listen == Strings{":5", ":6"});
  CHECK(options.local);
  CHECK(options.slots == 4);
  CHECK(options.insecure);
  CHECK(options.ship == Strings{"a.so", "b.so"});
  CHECK(options.environment == Strings{"A=1,2", "B=3"});
  CHECK(options.progress == true);
  CHECK(options.cancel_grace == 2s);
  CHECK(options.heartbeat == 3s);
}

TEST_CASE("the command line comes before the environment and that before the file") {
  FakeSurroundings around;
  around.settings = "slots = 1\ncancel-grace = '1min'\nenv = ['A=file']\nslaves = 'unix:/file'\n";
  CHECK(around.options().slots == 1);
  CHECK(around.options().slaves == Strings{"unix:/file"});
  around.variables = {{"KNEE_SLOTS", "2"}, {"KNEE_SLAVES", "unix:/variable"}};
  CHECK(around.options().slots == 2);
  CHECK(around.options().slaves == Strings{"unix:/variable"});
  const ClusterOptions options =
      around.options({"--knee-slots=3", "--knee-slaves=unix:/1", "--knee-slaves=unix:/2"});
  CHECK(options.slots == 3);
  CHECK(options.slaves == Strings{"unix:/1", "unix:/2"});
  CHECK(options.cancel_grace == 1min);
  CHECK(options.environment == Strings{"A=file"});
}

TEST_CASE("a hosts file replaces the slaves of a weaker place, and the other way round") {
  FakeSurroundings around;
  around.files["h"] = "unix:/hosts";
  around.variables["KNEE_SLAVES"] = "unix:/variable";
  CHECK(around.options({"--knee-hosts=h"}).slaves == Strings{"unix:/hosts"});
  around.variables = {{"KNEE_HOSTS", "no such file"}};
  CHECK(around.options({"--knee-slaves=unix:/argv"}).slaves == Strings{"unix:/argv"});
}

TEST_CASE("a switch can be put off again by a stronger place") {
  FakeSurroundings around;
  around.settings = "local = true\nprogress = true\n";
  CHECK_FALSE(around.options({"--knee-no-local"}).local);
  CHECK(around.options({"--knee-no-progress"}).progress == false);
}

TEST_CASE("what counts once takes the last, and looks at no other") {
  const FakeSurroundings around;
  CHECK(around.options({"--knee-slots=rubbish", "--knee-slots=7"}).slots == 7);
  CHECK_FALSE(around.options({"--knee-local", "--knee-no-local"}).local);
}

TEST_CASE("none asks for no slaves whatever weaker places say") {
  FakeSurroundings around;
  around.settings = "slaves = ['unix:/a']\nlisten = 'unix:/b'\n";
  const ClusterOptions options = around.options({"--knee-slaves=none", "--knee-listen", "none"});
  CHECK(options.slaves.empty());
  CHECK(options.listen.empty());
}

TEST_CASE("an empty variable counts as not set") {
  FakeSurroundings around;
  around.settings = "slaves = 'unix:/file'\n";
  around.variables = {{"KNEE_SLAVES", ""}, {"KNEE_SLOTS", ""}};
  CHECK(around.options().slaves == Strings{"unix:/file"});
}

TEST_CASE("an address given twice counts once") {
  CHECK(FakeSurroundings().options({"--knee-insecure", "--knee-slaves=a,b,a:18812,a"}).slaves ==
        Strings{"a", "b"});
}

TEST_CASE("TCP without insecure is refused with reason and way out") {
  FakeSurroundings around;
  for (const char* option :
       {"--knee-slaves=gandalf", "--knee-slaves=127.0.0.1:5", "--knee-listen=:5"}) {
    INFO(option);
    CHECK_THAT(around.error({option}), Contains("TCP") && Contains("--knee-insecure") &&
                                           Contains("ssh -N -L") && Contains("SECURITY.md"));
    CHECK(around.error({option, "--knee-insecure"}).empty());
    CHECK_THAT(around.error({option, "--knee-insecure", "--knee-no-insecure"}), Contains("TCP"));
  }
  CHECK_THAT(around.error({"--knee-slaves=unix:/a,frodo"}),
             Contains("--knee-slaves: 'frodo' means TCP"));
  around.files["h"] = "\nsam";
  CHECK_THAT(around.error({"--knee-hosts=h"}), Contains("h:2: 'sam' means TCP"));
}

TEST_CASE("the knee tool's errors name its own switch") {
  const FakeSurroundings fake;
  Surroundings around = fake.make();
  around.prefix = "--";
  const Strings arguments{"knee", "--slaves=gandalf"};
  CHECK_THROWS_WITH(resolve(scan_arguments(arguments, "--").settings, around),
                    Contains("allowed by --insecure "));
}

TEST_CASE("a wrong value is refused in the name of its place") {
  FakeSurroundings around;
  CHECK_THAT(around.error({"--knee-slots=many"}), Contains("--knee-slots: 'many' is not a number"));
  CHECK_THAT(around.error({"--knee-slaves=a:b:c"}),
             Contains("--knee-slaves: ") && Contains("brackets"));
  CHECK_THAT(around.error({"--knee-slaves=a,,b"}), Contains("empty address"));
  CHECK_THAT(around.error({"--knee-slaves="}), Contains("empty address") && Contains("'none'"));
  CHECK_THAT(around.error({"--knee-slaves=a b"}), Contains("separate addresses by commas"));
  CHECK_THAT(around.error({"--knee-slaves=:5"}), Contains("names no host"));
  CHECK_THAT(around.error({"--knee-slaves=a:0"}), Contains("port 0"));
  CHECK_THAT(around.error({"--knee-env=A"}), Contains("--knee-env: 'A' is not NAME=VALUE"));
  CHECK_THAT(around.error({"--knee-local=perhaps"}), Contains("--knee-local: 'perhaps'"));
  CHECK_THAT(around.error({"--knee-cancel-grace=5"}),
             Contains("--knee-cancel-grace: '5'") && Contains("unit"));
  CHECK_THAT(around.error({"--knee-heartbeat=10ms"}),
             Contains("--knee-heartbeat: '10ms'") && Contains("100ms"));
  CHECK_THAT(around.error({"--knee-ship="}),
             Contains("--knee-ship: the name of the file is missing"));
  CHECK_THAT(around.error({"--knee-hosts=nowhere"}),
             Contains("--knee-hosts: cannot read 'nowhere': No such file or directory"));
  around.variables["KNEE_LISTEN"] = "unix:";
  CHECK_THAT(around.error(), Contains("KNEE_LISTEN: "));
}

TEST_CASE("a hosts file's error names its line, and an empty one is an error") {
  FakeSurroundings around;
  around.files["h"] = "# mine\nunix:/a\ngandalf slots=4\n";
  CHECK_THAT(around.error({"--knee-hosts=h"}), Contains("h:3: ") && Contains("not one address"));
  around.files["h"] = "# nothing yet\n";
  CHECK_THAT(around.error({"--knee-hosts=h"}), Contains("--knee-hosts: 'h' holds no address"));
}

TEST_CASE("options filled in by a program are checked in the name of their field") {
  ClusterOptions options;
  CHECK_NOTHROW(check(options));
  options.slaves = {"gandalf"};
  CHECK_THROWS_WITH(check(options), Contains("ClusterOptions::slaves: 'gandalf' means TCP") &&
                                        Contains("ClusterOptions::insecure"));
  options.insecure = true;
  CHECK_NOTHROW(check(options));
  options.listen = {"unix:"};
  CHECK_THROWS_WITH(check(options), Contains("ClusterOptions::listen: "));
  options.listen.clear();
  options.environment = {"=x"};
  CHECK_THROWS_WITH(check(options), Contains("ClusterOptions::environment: "));
  options.environment.clear();
  options.slots = kMostSlots + 1;
  CHECK_THROWS_WITH(check(options), Contains("ClusterOptions::slots: "));
  options.slots = 0;
  options.cancel_grace = -1ns;
  CHECK_THROWS_WITH(check(options), Contains("ClusterOptions::cancel_grace: "));
  options.cancel_grace = 0ns;
  options.heartbeat = 99ms;
  CHECK_THROWS_WITH(check(options), Contains("ClusterOptions::heartbeat: ") && Contains("100ms"));
}

TEST_CASE("a file to be shipped that cannot be read is refused by name") {
  ClusterOptions options;
  options.ship = {"/proc/self/exe"};
  CHECK_NOTHROW(check_shipped(options));
  options.ship.push_back("/no/such/plugin.so");
  CHECK_THROWS_WITH(check_shipped(options), Contains("cannot ship '/no/such/plugin.so'") &&
                                                Contains("No such file or directory") &&
                                                Contains("--knee-ship"));
  options.ship = {"/proc/self"};
  CHECK_THROWS_WITH(check_shipped(options), Contains("not a regular file"));
}

TEST_CASE("a use of TCP is seen") {
  ClusterOptions options;
  CHECK_FALSE(uses_tcp(options));
  options.slaves = {"unix:/a"};
  CHECK_FALSE(uses_tcp(options));
  options.listen = {":5"};
  CHECK(uses_tcp(options));
}

}  // namespace
}  // namespace knee::config
