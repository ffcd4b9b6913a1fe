#include <fcntl.h>
#include <knee/this_task.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <optional>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;
using knee::TaskOptions;

namespace {

const TaskOptions kWide{.cores = 2};

/// Marks its beginning and end.
void rest_between_marks(std::string file, std::string name, int milliseconds) {
  leave_mark(file, name + " begins");
  rest(0, milliseconds);
  leave_mark(file, name + " ends");
}

std::string where() {
  return knee::this_task::slave();
}

/// Whether something else ran while "wide" did, in words.
std::string company_of_wide(const std::vector<std::string>& marks) {
  int running = 0;
  bool wide = false;
  for (const auto& mark : marks) {
    const bool begins = mark.ends_with(" begins");
    if (mark.starts_with("wide ")) {
      if (running != 0) return mark + " with " + std::to_string(running) + " others";
      wide = begins;
    } else {
      if (wide) return mark + " beside a wide one";
      running += begins ? 1 : -1;
    }
  }
  return "";
}

/// Takes what this process writes to stderr, for as long as it lives.
class StandardError {
 public:
  StandardError() : before_(knee::check(::dup(STDERR_FILENO), "dup")) {
    const knee::UniqueFd file(knee::check(
        ::open((folder_ / "err").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
        "open"));
    knee::check(::dup2(file.get(), STDERR_FILENO), "dup2");
  }
  StandardError(const StandardError&) = delete;
  ~StandardError() { ::dup2(before_.get(), STDERR_FILENO); }

  std::string text() const { return content_of(folder_ / "err"); }

 private:
  TemporaryFolder folder_;
  knee::UniqueFd before_;
};

/// While it lives, clusters of this process connect as somebody else.
class OtherUser {
 public:
  explicit OtherUser(const char* name) {
    if (const char* user = ::getenv("USER")) before_ = user;
    ::setenv("USER", name, 1);
  }
  OtherUser(const OtherUser&) = delete;
  ~OtherUser() {
    if (before_)
      ::setenv("USER", before_->c_str(), 1);
    else
      ::unsetenv("USER");
  }

 private:
  std::optional<std::string> before_;
};

void wait_for_busy(knee::Cluster& cluster, unsigned slots) {
  REQUIRE(wait_until([&] { return cluster.slave("gandalf").describe().slots_busy == slots; }));
}

/// The idle worker of a slave with one slot, which begins nothing while this lives.
class SlowWorker {
 public:
  explicit SlowWorker(knee::Cluster& cluster) : pid_(cluster.call<own_pid>().get()) {
    wait_for_busy(cluster, 0);
    ::kill(pid_, SIGSTOP);
    REQUIRE(wait_until([this] { return state_of(pid_) == 'T'; }));
  }
  SlowWorker(const SlowWorker&) = delete;
  ~SlowWorker() { ::kill(pid_, SIGCONT); }

 private:
  pid_t pid_;
};

/// Another driver that keeps a slave of two slots busy with short tasks of one core; busy already
/// when made.
class BusyDriver {
 public:
  BusyDriver(const SlaveProcess& slave, const std::string& user)
      : driver_({.part = "rest_and_mark",
                 .arguments = {folder_ / "done", "x", "100000"},
                 .slaves = {slave.address()},
                 .user = user}) {
    wait_for_marks(folder_ / "done", 20);
  }
  std::size_t done() const { return marks_in(folder_ / "done").size(); }

 private:
  TemporaryFolder folder_;
  DriverProcess driver_;
};

}  // namespace

TEST_CASE("a task of two cores has a slave of two slots for itself") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    const auto call = [&](const TaskOptions& options, const std::string& name) {
      (void)bag.call<rest_between_marks>(options, folder / "marks", name, 3);
    };
    for (int i = 0; i < 20; ++i) {
      call({}, "narrow");
      call({}, "narrow");
      call({}, "narrow");
      call(kWide, "wide");
    }
    bag.wait();
    const auto marks = marks_in(folder / "marks");
    CHECK(marks.size() == 160);
    CHECK(company_of_wide(marks) == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task of two cores leaves the other slots to others") {
  SlaveProcess slave({.slots = 3});
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto wide = cluster.call<hold>(kWide, 2, folder / "started", folder / "go");
  wait_for_marks(folder / "started", 1);
  auto narrow = cluster.call<hold>(1, folder / "started", folder / "go");
  wait_for_marks(folder / "started", 2);
  // There is no room for a third.
  auto third = cluster.call<hold>(3, folder / "third", folder / "go");
  CHECK(cluster.slave("gandalf").describe().slots_busy == 3);
  CHECK(marks_in(folder / "third").empty());
  leave_mark(folder / "go", "");
  CHECK(wide.get() + narrow.get() + third.get() == 6);
}

TEST_CASE("a call takes as many cores as its bag says, unless it says another number itself") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag(kWide);
  auto wide = bag.call<hold>(2, folder / "wide", folder / "go wide");
  wait_for_marks(folder / "wide");
  CHECK(cluster.slave("gandalf").describe().slots_busy == 2);
  leave_mark(folder / "go wide", "");
  CHECK(wide.get() == 2);
  wait_for_busy(cluster, 0);
  auto narrow = bag.call<hold>(TaskOptions{.cores = 1}, 1, folder / "narrow", folder / "go");
  wait_for_marks(folder / "narrow");
  CHECK(cluster.slave("gandalf").describe().slots_busy == 1);
  leave_mark(folder / "go", "");
  CHECK(narrow.get() == 1);
}

TEST_CASE("the slots of a task of two cores are free again after it died or was cancelled") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(impatient(slave));
    auto task = cluster.call<hang>(TaskOptions{.cores = 2, .attempts = 1}, folder / "hung");
    wait_for_marks(folder / "hung");
    CHECK(cluster.slave("gandalf").describe().slots_busy == 2);
    SECTION("died") {
      ::kill(std::stoi(marks_in(folder / "hung").at(0)), SIGKILL);
      CHECK(error_of(std::move(task)).kind() == Error::Kind::crashed);
    }
    SECTION("was cancelled") {
      task.cancel();
      CHECK(error_of(std::move(task)).kind() == Error::Kind::cancelled);
    }
    auto first = cluster.call<hold>(1, folder / "started", folder / "go");
    auto second = cluster.call<hold>(2, folder / "started", folder / "go");
    wait_for_marks(folder / "started", 2);
    leave_mark(folder / "go", "");
    CHECK(first.get() + second.get() == 3);
    CHECK(cluster.call<where>(kWide).get() == "gandalf");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a bag that is cancelled before its worker begins leaves the slot free") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    {
      const SlowWorker worker(cluster);
      for (int i = 0; i < 5; ++i) (void)bag.call<twice>(i);
      wait_for_busy(cluster, 1);
      bag.cancel();
      REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }, 10s));
    }
    auto next = cluster.call<twice>(21);
    REQUIRE(wait_until([&] { return next.ready(); }, 10s));
    CHECK(next.get() == 42);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a slot changes hands if the worker that has it has not begun") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    Tally results(20);
    std::optional<knee::Cluster> other;
    {
      const OtherUser bert("bert");
      other.emplace(reaching(slave));
      REQUIRE(wait_until([&] { return other->slots() == 1; }));
    }
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    {
      const SlowWorker worker(cluster);
      for (int i = 0; i < 20; ++i) bag.call<rest>(i, 0).then([&](int x) { results.add(x); });
      wait_for_busy(cluster, 1);
      auto of_other = other->call<twice>(21);
      REQUIRE(wait_until([&] { return of_other.ready(); }, 10s));
      CHECK(of_other.get() == 42);
    }
    REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }, 10s));
    CHECK(results.complaints() == "");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE(
    "a task too wide for all slaves is said so, and runs when one comes that is wide enough") {
  SlaveProcess frodo({.name = "frodo", .slots = 2});
  const TemporaryFolder folder;
  auto options = reaching(frodo);
  options.listen = {"unix:" + (folder / "driver.sock")};
  const StandardError err;
  knee::Cluster cluster(options);
  auto wide = cluster.call<where>(TaskOptions{.cores = 3});
  // Others pass it by.
  CHECK(cluster.call<where>().get() == "frodo");
  REQUIRE(wait_until([&] { return count_of(err.text(), "3 cores") != 0; }));
  CHECK_THAT(err.text(), Contains("no slave that is here has so many slots"));
  CHECK_FALSE(wide.ready());
  const SlaveProcess gandalf(
      {.name = "gandalf", .slots = 4, .flags = {"--dial", options.listen.at(0)}});
  CHECK(wide.get() == "gandalf");
}

TEST_CASE("a task of two cores runs while another driver keeps the slave busy") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    // Of another user, or of the same one.
    const BusyDriver other(slave, GENERATE(as<std::string>(), "alice", ""));
    knee::Cluster cluster(reaching(slave));
    for (int i = 0; i < 5; ++i) {
      auto wide = cluster.call<where>(kWide);
      REQUIRE(wait_until([&] { return wide.ready(); }, 10s));
      CHECK(wide.get() == "gandalf");
    }
    // The other one goes on, too.
    const auto done = other.done();
    CHECK(wait_until([&] { return other.done() > done + 20; }));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a driver gets its part of a slave that another driver of the same user keeps busy") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    const BusyDriver other(slave, "");
    knee::Cluster cluster(reaching(slave));
    for (int i = 0; i < 20; ++i) {
      auto narrow = cluster.call<where>();
      REQUIRE(wait_until([&] { return narrow.ready(); }, 10s));
    }
    const auto done = other.done();
    CHECK(wait_until([&] { return other.done() > done + 20; }));
  }
  CHECK(leaks.found() == "");
}
