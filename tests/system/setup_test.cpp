#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/base/affinity.h"
#include "tests/system/harness/control_group.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;
namespace fs = std::filesystem;

namespace {

/// The code and the words with which a knee-slave ends that cannot begin.
struct Refusal {
  int code;
  std::string words;
};
Refusal refusal_of(SlaveProcess& slave) {
  slave.launch();
  return {slave.process().wait(10s), slave.err()};
}

ChildProcess::Plan slave_at(const std::string& address) {
  return {{std::getenv("KNEE_SLAVE"), "--listen", address, "--insecure"}, {}};
}

/// The port in the line with which a slave that also has a Unix socket says where it listens by
/// TCP.
std::string tcp_port_said_by(const SlaveProcess& slave) {
  (void)wait_until([&] { return count_of(slave.err(), "slots, named") == 2; });
  const std::string text = slave.err();
  std::smatch found;
  const bool said = std::regex_search(text, found, std::regex("listening on \\S*:([0-9]+), "));
  return said ? found[1].str() : "none in: " + text;
}

/// What it keeps is in `folder`. `around`: a command that runs it.
ChildProcess::Plan slave_without_options(const TemporaryFolder& folder,
                                         std::vector<std::string> around = {}) {
  around.emplace_back(std::getenv("KNEE_SLAVE"));
  return {std::move(around),
          {{"XDG_RUNTIME_DIR", folder.path()},
           {"XDG_CACHE_HOME", folder / "cache"},
           {"TMPDIR", folder.path()}}};
}

bool can_run(std::vector<std::string> command) {
  ChildProcess child({std::move(command), {}});
  return child.wait() == 0;
}

/// The file below `folder` that is this program, or was made of it: no other has its size.
fs::path file_of_this_program(const std::string& folder) {
  const auto size = fs::file_size(own_path());
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && entry.file_size() == size) return entry.path();
  throw std::runtime_error("this program is not in " + folder);
}

/// Puts a script there that leaves a mark, with the same size, mode and time of change.
void replace_by_script(const fs::path& file, const std::string& mark) {
  const auto size = fs::file_size(file);
  const auto mode = fs::status(file).permissions();
  const auto time = fs::last_write_time(file);
  fs::permissions(file, fs::perms::owner_all);
  {
    std::ofstream stream(file, std::ios::binary | std::ios::trunc);
    stream << "#!/bin/sh\necho it ran >> '" << mark << "'\nexit 0\n" << std::flush;
    REQUIRE(stream.good());
  }
  fs::resize_file(file, size);
  fs::last_write_time(file, time);
  fs::permissions(file, mode);
}

}  // namespace

TEST_CASE("a slave started without any option listens on its user's private socket") {
  const TemporaryFolder folder;
  const LeakCheck leaks;
  {
    const ChildProcess slave(slave_without_options(folder));
    const std::string socket = folder / "knee/slave.sock";
    slave.wait_for_err("listening on unix:" + socket);
    CHECK((fs::status(folder / "knee").permissions() & fs::perms::all) == fs::perms::owner_all);
    knee::ClusterOptions options;
    options.slaves = {"unix:" + socket};
    options.progress = false;
    knee::Cluster cluster(options);
    CHECK(cluster.call<twice>(21).get() == 42);
    CHECK(cluster.slots() >= 1);
    CHECK(fs::is_directory(folder / "cache/knee/store"));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave started without any option has as many slots as its control group has cores") {
  const auto group = ControlGroup::with_cores(1);
  if (!group || knee::allowed_cores() < 2) {
    WARN("SKIPPED: no control group with fewer cores than there are may be made here");
    return;
  }
  const TemporaryFolder folder;
  const LeakCheck leaks;
  {
    const ChildProcess slave(slave_without_options(folder, group->around()));
    const std::string address = "unix:" + (folder / "knee/slave.sock");
    slave.wait_for_err("slots, named");
    CHECK_THAT(slave.err(), Contains("listening on " + address + ", 1 slots, named"));
    knee::ClusterOptions options;
    options.slaves = {address};
    options.progress = false;
    knee::Cluster cluster(options);
    CHECK(cluster.call<twice>(21).get() == 42);
    CHECK(cluster.slots() == 1);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a second slave on the same socket says that it is taken, and the first goes on") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    Others others(cluster);
    ChildProcess second(slave_at(slave.address()));
    CHECK(second.wait() == 1);
    CHECK_THAT(second.err(), Contains(slave.address()) && Contains("another process"));
    CHECK(others.complaints() == "");
    knee::Cluster next(reaching(slave));
    CHECK(next.call<twice>(1).get() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("of slaves started at once on a dead one's socket one gets it, the others say so") {
  SlaveProcess dead({.name = "dead"});
  dead.kill();
  REQUIRE(fs::is_socket(dead.folder() + "/run/slave.sock"));
  std::vector<std::unique_ptr<ChildProcess>> slaves;
  for (int i = 0; i < 4; ++i)
    slaves.push_back(std::make_unique<ChildProcess>(slave_at(dead.address())));
  const auto alive = [&] {
    return std::count_if(slaves.begin(), slaves.end(), [](auto& one) { return one->is_alive(); });
  };
  REQUIRE(wait_until([&] { return alive() == 1; }));
  for (auto& slave : slaves) {
    if (slave->is_alive()) continue;
    CHECK(slave->wait() == 1);
    CHECK_THAT(slave->err(), Contains(dead.address()) && Contains("another process does"));
  }
  knee::Cluster cluster(reaching(dead));
  CHECK(cluster.call<twice>(1).get() == 2);
}

TEST_CASE("a socket in a folder that others may write to is refused, with what to do") {
  const TemporaryFolder folder;
  ::chmod(folder.path().c_str(), 0777);
  ChildProcess slave(slave_at("unix:" + (folder / "s")));
  CHECK(slave.wait() == 1);
  CHECK_THAT(slave.err(), Contains("unix:" + (folder / "s")) &&
                              Contains("chmod go-w " + folder.path().string()));
}

TEST_CASE("a second slave on the same port says that it is taken, and the first goes on") {
  SlaveProcess slave({.tcp = true});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    Others others(cluster);
    ChildProcess second(slave_at(slave.address()));
    CHECK(second.wait() == 1);
    CHECK_THAT(second.err(), Contains(slave.address()) && Contains("Address already in use"));
    CHECK(others.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("TCP without --insecure is refused, with a hint what to do") {
  ChildProcess slave({{std::getenv("KNEE_SLAVE"), "--listen", "127.0.0.1:0"}, {}});
  CHECK(slave.wait() > 0);
  CHECK_THAT(slave.err(), Contains("--insecure") && Contains("ssh"));
  DriverProcess driver(
      {.part = "call_one", .slaves = {"127.0.0.1:1"}, .environment = {{"KNEE_INSECURE", "no"}}});
  CHECK(driver.wait() == 2);
  CHECK_THAT(driver.err(), Contains("insecure"));
}

TEST_CASE("a slave that listens on a port of all addresses is dialed by the name of the host") {
  const SlaveProcess slave({.flags = {"--listen", ":0", "--insecure"}});
  const std::string port = tcp_port_said_by(slave);
  const LeakCheck leaks({&slave});
  {
    auto options = reaching(slave);
    options.slaves = {"localhost:" + port};
    options.insecure = true;
    knee::Cluster cluster(options);
    CHECK(cluster.call<twice>(21).get() == 42);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slave that listens by the name of the host says the address that it has taken") {
  const SlaveProcess slave({.flags = {"--listen", "localhost:0", "--insecure"}});
  const std::string port = tcp_port_said_by(slave);
  CHECK_THAT(slave.err(), Contains("listening on 127.0.0.1:" + port + ", ") ||
                              Contains("listening on [::1]:" + port + ", "));
  CHECK_THAT(slave.err(), !Contains("multiple addresses"));
  auto options = reaching(slave);
  options.slaves = {"localhost:" + port};
  options.insecure = true;
  knee::Cluster cluster(options);
  CHECK(cluster.call<twice>(21).get() == 42);
}

TEST_CASE("a slave that listens by TCP warns of it, and so does a driver that dials it") {
  const SlaveProcess slave({.tcp = true});
  DriverProcess driver({.part = "call_one", .slaves = {slave.address()}});
  CHECK(driver.wait() == 0);
  CHECK(driver.out() == "42\n");
  CHECK_THAT(driver.err(), Contains("warning: insecure: whoever can reach"));
  CHECK_THAT(slave.err(), Contains("warning: --insecure"));
}

TEST_CASE("a store that cannot be made is named in the slave's last words") {
  SlaveProcess slave({.flags = {"--store", "/proc/version/store"}, .start = false});
  const Refusal refusal = refusal_of(slave);
  CHECK(refusal.code == 1);
  CHECK_THAT(refusal.words, Contains("/proc/version/store"));
}

TEST_CASE("a store that may not be written is named in the slave's last words") {
  const TemporaryFolder folder;
  const std::string locked = folder / "locked";
  fs::create_directory(locked);
  ::chmod(folder.path().c_str(), 0755);
  ::chmod(locked.c_str(), 0555);
  SlaveProcess::Setup setup{.flags = {"--store", locked + "/store"}, .start = false};
  if (::getuid() == 0) {
    setup.around = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"};
    auto probe = setup.around;
    probe.emplace_back("true");
    if (!can_run(probe)) {
      WARN("SKIPPED: root may write anywhere, and setpriv does not work here");
      return;
    }
  }
  SlaveProcess slave(setup);
  const Refusal refusal = refusal_of(slave);
  CHECK(refusal.code == 1);
  CHECK_THAT(refusal.words, Contains(locked) && Contains("Permission denied"));
}

TEST_CASE("a slave whose disk is full says so to the driver and spoils nothing") {
  std::vector<std::string> space{"unshare", "--mount"};
  if (::getuid() != 0) space.emplace_back("--map-root-user");
  auto probe = space;
  probe.insert(probe.end(), {"mount", "-t", "tmpfs", "tmpfs", "/mnt"});
  if (!can_run(probe)) {
    WARN("SKIPPED: no mount namespace may be made here");
    return;
  }
  const TemporaryFolder folder;
  const std::string store = folder / "store";
  fs::create_directory(store);
  space.insert(
      space.end(),
      {"sh", "-c", "mount -t tmpfs -o size=1m,mode=0700 tmpfs " + store + " && exec \"$@\"", "sh"});
  SlaveProcess full(
      {.name = "full", .flags = {"--store", store, "--store-size", "1GB"}, .around = space});
  SlaveProcess fine({.name = "fine"});
  const LeakCheck leaks({&full, &fine});
  {
    DriverProcess lonely({.part = "call_one", .slaves = {full.address()}});
    knee::Cluster cluster(reaching({&full, &fine}));
    Others others(cluster);
    CHECK(cluster.call<twice>(21).get() == 42);
    CHECK(others.complaints() == "");
    lonely.wait_for_err("no slave yet");
    CHECK_THAT(lonely.err(), Contains(full.address()) && Contains("No space left on device"));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a program replaced in the store by another one is fetched or made again, and not run") {
  // As it was sent, and what was made of it to be run.
  const std::string part = GENERATE("blobs", "derived");
  const bool restarted = GENERATE(false, true);
  const TemporaryFolder folder;
  const std::string mark = folder / "mark";
  SlaveProcess slave({.own_store = true});
  const LeakCheck leaks({&slave});
  const auto run = [&] {
    knee::Cluster cluster(reaching(slave));
    Others others(cluster);
    auto promise = cluster.call<twice>(21);
    CHECK(promise.get() == 42);
    CHECK(others.complaints() == "");
  };
  run();
  // A file that still runs cannot be written to.
  REQUIRE(wait_until([&] { return slave.family().empty(); }));
  if (restarted) slave.kill();
  const fs::path file = file_of_this_program(slave.store() + "/" + part);
  const std::string before = content_of(file);
  replace_by_script(file, mark);
  REQUIRE(can_run({file}));
  REQUIRE(marks_in(mark).size() == 1);
  if (restarted) slave.start();
  run();
  CHECK(marks_in(mark).size() == 1);
  const bool mended = content_of(file) == before;
  CHECK(mended);
  CHECK(leaks.found() == "");
}

TEST_CASE("options that cannot be are refused where they are given, and cost the bag nothing") {
  SlaveProcess slave({.slots = 1});
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  const auto refusal = [&](const knee::TaskOptions& options) {
    const Error error = error_out_of([&] { (void)bag.call<twice>(options, 1); });
    CHECK(error.kind() == Error::Kind::usage);
    return std::string(error.what());
  };
  CHECK_THAT(refusal({.attempts = 0}), Contains("attempts is 0"));
  CHECK_THAT(refusal({.attempts = 256}), Contains("attempts is 256") && Contains("1 to 255"));
  CHECK_THAT(refusal({.cores = 0}), Contains("cores is 0"));
  CHECK_THAT(refusal({.cores = 65536}), Contains("cores is 65536"));
  CHECK_THAT(refusal({.timeout = 0s}), Contains("timeout is 0"));
  CHECK_THAT(refusal({.timeout = -1s}), Contains("timeout is -"));
  CHECK(bag.counts().outstanding == 0);
  CHECK(bag.call<twice>(1).get() == 2);
  bag.wait();
}
