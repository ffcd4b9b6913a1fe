#include "cli/command_template.h"

#include <catch2/catch.hpp>

using knee::cli::CommandTemplate;
using knee::cli::shell_quoted;

namespace {

std::string expanded(const std::string& text, std::vector<std::string> arguments,
                     std::uint64_t number = 1) {
  return CommandTemplate(text).expand(arguments, number);
}

}  // namespace

TEST_CASE("places in a command line are filled as GNU parallel fills them") {
  CHECK(expanded("sim --seed {}", {"7"}) == "sim --seed 7");
  CHECK(expanded("{} {.} {/} {//} {/.}", {"a/b.tar.gz"}) == "a/b.tar.gz a/b.tar b.tar.gz a b.tar");
  CHECK(expanded("{//}", {"plain"}) == ".");
  CHECK(expanded("{.}", {".hidden"}) == ".hidden");
  CHECK(expanded("{.}", {"dir.d/file"}) == "dir.d/file");
  CHECK(expanded("n{#}", {"x"}, 12) == "n12");
  CHECK(expanded("{2}-{1} {1.}", {"a.c", "b"}) == "b-a.c a");
  CHECK(expanded("{}", {"a", "b"}) == "a b");
}

TEST_CASE("other braces stay as they are") {
  CHECK(expanded("awk '{print $1}' {}", {"f"}) == "awk '{print $1}' f");
  CHECK(expanded("${HOME} {x} {", {"f"}) == "${HOME} {x} {");
}

TEST_CASE("an argument without a place goes to the end") {
  CommandTemplate with("echo {.}");
  with.want_argument();
  CHECK(with.expand({"a.b"}, 1) == "echo a");
  CommandTemplate without("echo job {#}");
  without.want_argument();
  CHECK(without.expand({"a.b"}, 1) == "echo job 1 a.b");
}

TEST_CASE("what a shell would change is quoted") {
  CHECK(shell_quoted("a-b/c.d") == "a-b/c.d");
  CHECK(shell_quoted("a b") == "'a b'");
  CHECK(shell_quoted("it's") == "'it'\\''s'");
  CHECK(shell_quoted("") == "''");
  CHECK(expanded("echo {}", {"$(rm x); *"}) == "echo '$(rm x); *'");
}
