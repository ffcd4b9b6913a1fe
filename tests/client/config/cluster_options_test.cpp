#include "client/config/cluster_options.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "client/config/surroundings.h"

namespace knee::config {
namespace {

using Catch::Matchers::Contains;
using Strings = std::vector<std::string>;

// An empty XDG_CONFIG_HOME, so that the tester's own knee.toml and variables do not count.
class OwnSettings {
 public:
  OwnSettings() {
    char name[] = "/tmp/knee-config-test-XXXXXX";
    REQUIRE(::mkdtemp(name));
    folder_ = name;
    ::setenv("XDG_CONFIG_HOME", name, 1);
    for (const char* variable :
         {"KNEE_SLAVES", "KNEE_HOSTS", "KNEE_LISTEN", "KNEE_LOCAL", "KNEE_SLOTS", "KNEE_INSECURE",
          "KNEE_SHIP", "KNEE_ENV", "KNEE_PROGRESS", "KNEE_CANCEL_GRACE", "KNEE_HEARTBEAT"})
      ::unsetenv(variable);
  }
  ~OwnSettings() {
    ::unsetenv("XDG_CONFIG_HOME");
    std::filesystem::remove_all(folder_);
  }
  void write(const std::string& text) const {
    std::filesystem::create_directories(folder_ / "knee");
    std::ofstream(path()) << text;
  }
  std::filesystem::path path() const { return folder_ / "knee" / "knee.toml"; }

 private:
  std::filesystem::path folder_;
};

// argv as main gets it.
struct Arguments {
  explicit Arguments(Strings words) : words(std::move(words)) {
    for (std::string& word : this->words) argv.push_back(word.data());
    argv.push_back(nullptr);
    argc = static_cast<int>(this->words.size());
  }
  Strings now() const { return Strings(argv.data(), argv.data() + argc); }

  Strings words;
  std::vector<char*> argv;
  int argc = 0;
};

struct Ended {
  int code;
  std::string out;
  std::string err;
};

// Runs it in a child; code 99: it came back.
Ended end_of(const std::function<void()>& action) {
  char out[] = "/tmp/knee-config-out-XXXXXX";
  char err[] = "/tmp/knee-config-err-XXXXXX";
  const int out_fd = ::mkstemp(out);
  const int err_fd = ::mkstemp(err);
  REQUIRE(out_fd >= 0);
  REQUIRE(err_fd >= 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(out_fd, 1);
    ::dup2(err_fd, 2);
    action();
    ::_exit(99);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  Ended ended{WIFEXITED(status) ? WEXITSTATUS(status) : 128, read_whole(out), read_whole(err)};
  ::close(out_fd);
  ::close(err_fd);
  ::unlink(out);
  ::unlink(err);
  return ended;
}

TEST_CASE("argv loses the knee options, stays in order and ends with null") {
  const OwnSettings settings;
  Arguments arguments({"prog", "-v", "--knee-slots", "3", "in", "--knee-local", "--", "--knee-x"});
  const ClusterOptions options = cluster_options(arguments.argc, arguments.argv.data());
  CHECK(options.slots == 3);
  CHECK(options.local);
  CHECK(arguments.now() == Strings{"prog", "-v", "in", "--", "--knee-x"});
  CHECK(arguments.argv[static_cast<std::size_t>(arguments.argc)] == nullptr);
  CHECK(options.arguments == arguments.now());
}

TEST_CASE("an empty argv is fine") {
  const OwnSettings settings;
  int argc = 0;
  char* argv[] = {nullptr};
  CHECK(cluster_options(argc, argv).arguments.empty());
  CHECK(argc == 0);
}

TEST_CASE("an error leaves argv as it was") {
  const OwnSettings settings;
  const Strings words{"prog", "--knee-local", "x", "--knee-slots=many"};
  Arguments arguments(words);
  CHECK_THROWS_WITH(cluster_options(arguments.argc, arguments.argv.data()),
                    Contains("--knee-slots: "));
  CHECK(arguments.now() == words);
}

TEST_CASE("the process's environment and knee.toml count") {
  const OwnSettings settings;
  settings.write("slots = 2\nlocal = true\n");
  ::setenv("KNEE_SLOTS", "5", 1);
  Arguments arguments({"prog"});
  const ClusterOptions options = cluster_options(arguments.argc, arguments.argv.data());
  ::unsetenv("KNEE_SLOTS");
  CHECK(options.slots == 5);
  CHECK(options.local);
}

TEST_CASE("a knee.toml that cannot be read is an error, one that is absent is none") {
  const OwnSettings settings;
  CHECK_FALSE(process_surroundings().settings.has_value());
  std::filesystem::create_directories(
      settings.path());  // a folder of that name: root cannot read it either
  CHECK_THROWS_WITH(process_surroundings(),
                    Contains(settings.path().string() + ": cannot read it: Is a directory"));
}

TEST_CASE("knee.toml is sought in XDG_CONFIG_HOME, else in .config of HOME") {
  std::map<std::string, std::string> variables;
  const auto path = [&] {
    return settings_path([&](const std::string& name) -> std::optional<std::string> {
      return variables.contains(name) ? std::optional(variables[name]) : std::nullopt;
    });
  };
  CHECK(path().empty());
  variables["HOME"] = "/home/sam";
  CHECK(path() == "/home/sam/.config/knee/knee.toml");
  variables["XDG_CONFIG_HOME"] = "/etc/sam";
  CHECK(path() == "/etc/sam/knee/knee.toml");
  variables["XDG_CONFIG_HOME"] = "relative";
  CHECK(path() == "/home/sam/.config/knee/knee.toml");
}

TEST_CASE("help is printed and ends the process with 0, though knee.toml be broken") {
  const OwnSettings settings;
  settings.write("rubbish");
  const Ended ended = end_of([] {
    Arguments arguments({"prog", "--knee-help"});
    cluster_options(arguments.argc, arguments.argv.data());
  });
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Contains("--knee-slaves LIST") && Contains("Example: --knee-slots 4"));
  CHECK(ended.err.empty());
}

TEST_CASE("the version is printed and ends the process with 0") {
  const OwnSettings settings;
  const Ended ended = end_of([] {
    Arguments arguments({"prog", "--knee-version"});
    cluster_options(arguments.argc, arguments.argv.data());
  });
  CHECK(ended.code == 0);
  CHECK_THAT(ended.out, Catch::Matchers::Matches("knee [0-9.]+\n"));
}

TEST_CASE("help that cannot be written ends the process with 1") {
  const OwnSettings settings;
  const Ended ended = end_of([] {
    ::dup2(::open("/dev/full", O_WRONLY | O_CLOEXEC), 1);
    Arguments arguments({"prog", "--knee-help"});
    cluster_options(arguments.argc, arguments.argv.data());
  });
  CHECK(ended.code == 1);
}

TEST_CASE("a refusal names the program and ends it with 2") {
  const Ended ended =
      end_of([] { refuse(Error(Error::Kind::setup, "--knee-x: there is no such option")); });
  CHECK(ended.code == 2);
  CHECK(ended.err ==
        std::string(program_invocation_short_name) +
            ": --knee-x: there is no such option (--knee-help explains the options)\n");
}

}  // namespace
}  // namespace knee::config
