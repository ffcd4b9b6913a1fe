#include "client/config/cli11_options.h"

#include <catch2/catch.hpp>

#include "client/config/resolve.h"
#include "tests/client/config/surroundings_fixture.h"

namespace knee::config {
namespace {

using Strings = std::vector<std::string>;

struct Tool {
  CLI::App app{"knee"};
  std::vector<Setting> settings;
  Strings rest;

  Tool() {
    add_cli11_options(app, settings);
    app.add_option("rest", rest);
  }
  ClusterOptions parse(Strings arguments) {
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants it
    app.parse(arguments);
    return resolve(settings, FakeSurroundings().make());
  }
};

TEST_CASE("the knee tool takes the options of the table by their short names") {
  Tool tool;
  const ClusterOptions options = tool.parse(
      {"--slaves", "gandalf,frodo", "prog", "--slaves=sam", "--insecure", "--no-progress", "--env",
       "A=1,2", "--env=B=3", "--cancel-grace", "2s", "--slots=3", "arg"});
  CHECK(options.slaves == Strings{"gandalf", "frodo", "sam"});
  CHECK(options.insecure);
  CHECK(options.progress == false);
  CHECK(options.environment == Strings{"A=1,2", "B=3"});
  CHECK(options.cancel_grace == std::chrono::seconds(2));
  CHECK(options.slots == 3);
  CHECK(tool.rest == Strings{"prog", "arg"});
}

TEST_CASE("the knee tool's help speaks of its own options") {
  Tool tool;
  using Catch::Matchers::Contains;
  CHECK_THAT(tool.app.help(),
             Contains("--cancel-grace DURATION") && Contains("--no-local") && !Contains("--knee-"));
}

}  // namespace
}  // namespace knee::config
