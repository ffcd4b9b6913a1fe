#include "client/config/scan.h"

#include <knee/error.h>
#include <catch2/catch.hpp>

#include "client/config/option_table.h"

namespace knee::config {
namespace {

using Strings = std::vector<std::string>;

Scan scan(Strings arguments) {
  return scan_arguments(arguments, "--knee-");
}

Strings kept(const Strings& arguments) {
  Strings result;
  for (const std::size_t index : scan(arguments).kept) result.push_back(arguments[index]);
  return result;
}

// "name=value@place", one per setting
Strings settings(const Strings& arguments) {
  Strings result;
  for (const Setting& one : scan(arguments).settings)
    result.push_back(std::string(one.option->name) + "=" + one.value + "@" + one.place);
  return result;
}

TEST_CASE("only knee options are taken, the others stay in order") {
  CHECK(kept({"prog", "-n", "5", "--knee-local", "in.txt", "--knee-slots=2", "--knee-slaves", "a",
              "-", ""}) == Strings{"prog", "-n", "5", "in.txt", "-", ""});
  CHECK(kept({"prog"}) == Strings{"prog"});
  CHECK(kept({}).empty());
}

TEST_CASE("a value follows after a space or an equals sign") {
  CHECK(settings({"prog", "--knee-slots", "2", "--knee-slots=3"}) ==
        Strings{"slots=2@--knee-slots", "slots=3@--knee-slots"});
}

TEST_CASE("only the first equals sign divides name and value") {
  CHECK(settings({"prog", "--knee-env=A=b=c", "--knee-env", "D=e"}) ==
        Strings{"env=A=b=c@--knee-env", "env=D=e@--knee-env"});
}

TEST_CASE("a value may look like an option of the program") {
  CHECK(settings({"prog", "--knee-ship", "-x"}) == Strings{"ship=-x@--knee-ship"});
}

TEST_CASE("two dashes end the search and stay") {
  CHECK(kept({"prog", "--knee-local", "--", "--knee-local", "--knee-rubbish"}) ==
        Strings{"prog", "--", "--knee-local", "--knee-rubbish"});
  CHECK(settings({"prog", "--", "--knee-local"}).empty());
}

TEST_CASE("the name of the program is never an option") {
  CHECK(kept({"--knee-local", "x"}) == Strings{"--knee-local", "x"});
}

TEST_CASE("a switch takes no argument, has a negative and may be given a value") {
  const Strings arguments{"prog", "--knee-local", "no", "--knee-no-progress",
                          "--knee-insecure=off"};
  CHECK(kept(arguments) == Strings{"prog", "no"});
  CHECK(settings(arguments) == Strings{"local=yes@--knee-local", "progress=no@--knee-no-progress",
                                       "insecure=off@--knee-insecure"});
}

TEST_CASE("an unknown option is refused with the closest name") {
  using Catch::Matchers::Contains;
  CHECK_THROWS_WITH(scan({"prog", "--knee-slvaes", "a"}),
                    Contains("--knee-slvaes: ") && Contains("did you mean --knee-slaves?"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-no-progres=1"}),
                    Contains("did you mean --knee-no-progress?"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-cancelgrace=1s"}), Contains("--knee-cancel-grace?"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-quetzalcoatl"}),
                    Contains("--knee-help lists them all") && !Contains("did you mean"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-"}), Contains("no such option"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-no-slaves"}), Contains("no such option"));
}

TEST_CASE("a missing value is noticed, before another option too") {
  using Catch::Matchers::Contains;
  CHECK_THROWS_WITH(
      scan({"prog", "--knee-slaves"}),
      Contains("--knee-slaves: its value is missing") && Contains("--knee-slaves gandalf"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-slaves", "--knee-local"}),
                    Contains("its value is missing"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-slots", "--", "3"}), Contains("its value is missing"));
}

TEST_CASE("what takes no value refuses one") {
  using Catch::Matchers::Contains;
  CHECK_THROWS_WITH(scan({"prog", "--knee-no-local=yes"}),
                    Contains("--knee-no-local: takes no value"));
  CHECK_THROWS_WITH(scan({"prog", "--knee-help=x"}), Contains("--knee-help: takes no value"));
}

TEST_CASE("help and version are found and what follows them is not judged") {
  CHECK(scan({"prog", "--knee-help", "--knee-rubbish"}).show == Scan::Show::help);
  CHECK(scan({"prog", "x", "--knee-version"}).show == Scan::Show::version);
  CHECK(scan({"prog", "--", "--knee-help"}).show == Scan::Show::nothing);
}

TEST_CASE("errors of the command line are setup errors") {
  try {
    scan({"prog", "--knee-x"});
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.kind() == Error::Kind::setup);
  }
}

}  // namespace
}  // namespace knee::config
