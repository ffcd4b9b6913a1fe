// What an ordinary user may not do: slaves where there is almost nothing (entering another root
// folder takes root, or bubblewrap), and files in the build folder.
#include <catch2/catch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "driver_run.h"

using namespace knee::test;

namespace {

namespace fs = std::filesystem;

bool succeeds(const std::vector<std::string>& words) {
  ChildProcess process({.arguments = words, .environment = {}});
  return process.wait() == 0;
}

/// A root folder that holds a static knee-slave and nothing else but what that writes.
class BareRoot {
 public:
  explicit BareRoot(bool proc) : proc_(proc) {
    fs::copy_file(std::getenv("KNEE_SLAVE"), folder_ / "knee-slave");
    if (proc_) fs::create_directory(folder_ / "proc");
  }

  /// How to run something there; empty if it is not permitted.
  std::vector<std::string> entry() const {
    std::vector<std::string> words{"bwrap", "--bind", folder_.path(), "/", "--chdir", "/"};
    if (proc_) words.insert(words.end(), {"--proc", "/proc"});
    words.emplace_back("--die-with-parent");
    if (is_installed("bwrap") && succeeds(with(words, {"/knee-slave", "--version"}))) return words;
    if (!proc_) {
      words = {"chroot", folder_.path()};
      if (::geteuid() == 0 && succeeds(with(words, {"/knee-slave", "--version"}))) return words;
    }
    return {};
  }

  static std::vector<std::string> with(std::vector<std::string> words,
                                       const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  std::string operator/(const std::string& name) const { return folder_ / name; }

 private:
  TemporaryFolder folder_;
  bool proc_;
};

/// What runs a driver as an ordinary user whose home and `folder` are its own; empty: this is one,
/// or one may not run it.
std::vector<std::string> as_ordinary_user(const std::string& driver, const std::string& folder) {
  if (::geteuid() != 0) return {};
  const std::vector<std::string> user{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                      "--"};
  if (!succeeds(BareRoot::with(user, {"test", "-x", driver}))) {
    skip("as an ordinary user, who may not run " + driver);
    return {};
  }
  return BareRoot::with({"sh", "-c", R"(chown 65534:65534 "$HOME" "$0" && exec "$@")", folder},
                        user);
}

/// What drivers print that use a slave in such a root.
void check_drivers(bool proc) {
  for (const auto* driver : {"ship_static", "ship_static_pie", "ship_pie", "ship_no_pie"}) {
    const BareRoot root(proc);
    const auto entry = root.entry();
    if (entry.empty()) return skip("may not enter another root folder here");
    ChildProcess slave(
        {.arguments = BareRoot::with(entry, {"/knee-slave", "--listen", "unix:/sock", "--store",
                                             "/store", "--slots", "2", "--name", "bare"}),
         .environment = {{"TMPDIR", "/"}, {"HOME", "/"}}});
    slave.wait_for_err("listening on");
    DriverRun run({.driver = driver, .words = {"twins"}, .slaves = {"unix:" + (root / "sock")}});
    INFO(driver << "\n" << slave.err());
    CHECK(run.printed() == kTwins);
  }
}

}  // namespace

TEST_CASE("a slave works in a root folder that holds nothing else") {
  check_drivers(true);
}

TEST_CASE("a slave works where there is no /proc either") {
  check_drivers(false);
}

TEST_CASE("a task that ends by an illegal instruction names the processor flags the slave lacks") {
  // A slave that sees a lesser processor.
  const TemporaryFolder folder;
  std::ofstream(folder / "cpuinfo") << "processor\t: 0\nflags\t\t: fpu sse\n";
  const std::vector<std::string> around{"bwrap",  "--die-with-parent", "--dev-bind",   "/", "/",
                                        "--bind", folder / "cpuinfo",  "/proc/cpuinfo"};
  if (!is_installed("bwrap") || !succeeds(BareRoot::with(around, {"true"})))
    return skip("may not lay a file over /proc/cpuinfo here");
  SlaveProcess slave({.name = "old", .around = around});
  DriverRun run({.driver = "ship_pie", .words = {"sigill"}, .slaves = {slave.address()}});
  const auto said = run.failure();
  INFO(said);
  CHECK(count_of(said, "processor lacks what this machine's has: ") == 1);
  CHECK(count_of(said, " sse2") >= 1);
}

TEST_CASE("a worker uses the shipped library, not another one that waits at the program's rpath") {
  // A folder fixed in the program, so it is the builder who may write there.
  const auto place = built("at_rpath/libown.so");
  std::error_code error;
  fs::create_directories(built("at_rpath"), error);
  fs::copy_file(built("libraries/libown.so"), place, fs::copy_options::overwrite_existing, error);
  if (error) return skip("cannot write to " + built("at_rpath"));
  // Without LD_LIBRARY_PATH for it: the driver itself finds it at its rpath.
  CHECK(printed_by({.driver = "ship_rpath",
                    .words = {"replaced-library", built("other/libown.so"), place},
                    .around = as_ordinary_user(built("ship_rpath"), built("at_rpath")),
                    .library_folders = {library_folders()[0]}}) == "right1 right\n");
}
