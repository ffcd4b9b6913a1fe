#include "client/config/settings_file.h"

#include <catch2/catch.hpp>

#include "tests/client/config/surroundings_fixture.h"

namespace knee::config {
namespace {

using Catch::Matchers::Contains;
using Strings = std::vector<std::string>;
using namespace std::chrono_literals;

FakeSurroundings with_settings(const std::string& text) {
  FakeSurroundings around;
  around.settings = text;
  return around;
}

TEST_CASE("every option can be given in knee.toml") {
  FakeSurroundings around = with_settings(R"(# the lab
slaves = ["gandalf", "frodo:1,sam"]
hosts = "machines.txt"
listen = ":5"
local = true
slots = 4
insecure = true
ship = ["/lib/a.so"]
env = "A=1"
progress = false
cancel-grace = "500ms"
heartbeat = "5s"
)");
  around.files["/home/sam/.config/knee/machines.txt"] = "pippin";
  const ClusterOptions options = around.options();
  CHECK_THAT(options.slaves,
             Catch::UnorderedEquals(Strings{"gandalf", "frodo:1", "sam", "pippin"}));
  CHECK(options.listen == Strings{":5"});
  CHECK(options.local);
  CHECK(options.slots == 4);
  CHECK(options.insecure);
  CHECK(options.ship == Strings{"/lib/a.so"});
  CHECK(options.environment == Strings{"A=1"});
  CHECK(options.progress == false);
  CHECK(options.cancel_grace == 500ms);
  CHECK(options.heartbeat == 5s);
}

TEST_CASE("paths in knee.toml start at its folder, and know the home folder") {
  FakeSurroundings around = with_settings("ship = ['a.so', '~/b.so', '/c.so']");
  around.variables["HOME"] = "/home/sam";
  CHECK(around.options().ship == Strings{"/home/sam/.config/knee/a.so", "/home/sam/b.so", "/c.so"});
  CHECK(around.options({"--knee-ship=a.so"}).ship == Strings{"a.so"});
}

TEST_CASE("an unknown key is refused with file, line and the closest key") {
  CHECK(with_settings("slots = 1\n\nslavs = 'a'\n").error() ==
        "/home/sam/.config/knee/knee.toml:3: unknown key 'slavs'; did you mean 'slaves'?");
  CHECK_THAT(
      with_settings("quetzalcoatl = 1").error(),
      Contains("knee.toml:1: unknown key 'quetzalcoatl'; the keys are slaves, hosts, listen"));
  CHECK_THAT(with_settings("[knee]\nslots = 1").error(),
             Contains("knee.toml:1: unknown key 'knee'"));
  CHECK_THAT(with_settings("cancel_grace = '1s'").error(),
             Contains("did you mean 'cancel-grace'?"));
}

TEST_CASE("help and version are no keys") {
  CHECK_THAT(with_settings("help = true").error(), Contains("unknown key 'help'"));
  CHECK_THAT(with_settings("version = true").error(), Contains("unknown key 'version'"));
}

TEST_CASE("an unknown key is refused even if the command line says all that matters") {
  CHECK_THAT(with_settings("slavs = 'a'").error({"--knee-slaves=unix:/a"}),
             Contains("unknown key"));
}

TEST_CASE("a value of the wrong type is refused with file and line") {
  CHECK(with_settings("\nslots = '4'").error() ==
        "/home/sam/.config/knee/knee.toml:2: slots: must be a number without quotes");
  CHECK_THAT(with_settings("local = 'yes'").error(),
             Contains("knee.toml:1: local: must be true or false"));
  CHECK_THAT(with_settings("cancel-grace = 2").error(),
             Contains("cancel-grace: must be a string in quotes"));
  CHECK_THAT(with_settings("hosts = ['a']").error(), Contains("hosts: must be a string in quotes"));
  CHECK_THAT(with_settings("env = { A = '1' }").error(),
             Contains("env: must be a string in quotes or an array"));
  CHECK_THAT(with_settings("slaves = [\n'unix:/a',\n5]").error(),
             Contains("knee.toml:3: slaves: must be"));
}

TEST_CASE("a wrong value is refused with file and line") {
  CHECK_THAT(with_settings("\nslots = -1").error(),
             Contains("knee.toml:2: slots: '-1' is not a number"));
  CHECK_THAT(with_settings("slaves = ['unix:/a',\n 'a:b']").error(),
             Contains("knee.toml:2: slaves: bad address"));
  CHECK_THAT(with_settings("slaves = 'gandalf'").error(),
             Contains("knee.toml:1: slaves: 'gandalf' means TCP"));
}

TEST_CASE("what is not TOML is refused with file and line") {
  CHECK_THAT(with_settings("slots = 1\nslaves = [\"a\"\n").error(),
             Contains("knee.toml:") && Contains("this is not TOML: "));
  CHECK_THAT(with_settings("slots = 1\nslots = 2\n").error(),
             Contains("knee.toml:2: this is not TOML"));
}

TEST_CASE("an empty array asks for nothing") {
  CHECK(with_settings("slaves = []\nship = []").options().slaves.empty());
}

}  // namespace
}  // namespace knee::config
