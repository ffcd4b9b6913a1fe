#include <knee/this_task.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

/// Ends as soon as it is cancelled, and says so.
int look_until_cancelled(std::string file) {
  leave_mark(file, "started");
  while (!knee::this_task::cancelled()) ::usleep(1000);
  leave_mark(file, "noticed");
  return 1;
}

int wait_for_stop(std::string file) {
  const auto stop = knee::this_task::stop_token();
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  leave_mark(file, "started");
  wake.wait(lock, stop, [] { return false; });
  leave_mark(file, "noticed");
  return 1;
}

void mark(std::string file) {
  leave_mark(file, "ran");
}

/// Cancels a running task that notices; its worker must live on.
template <auto task>
void cancel_one_that_notices() {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.cancel_grace = 20s;
    knee::Cluster cluster(options);
    auto bag = cluster.bag({.name = "polite"});
    const int worker = bag.call<own_pid>().get();
    auto promise = bag.call<task>(folder / "marks");
    wait_for_marks(folder / "marks");
    promise.cancel();
    const Error error = error_of(std::move(promise));
    CHECK(error.kind() == Error::Kind::cancelled);
    CHECK_THAT(error.task(), Contains("polite: "));
    CHECK(error.slave() == "gandalf");
    CHECK(error.attempt() == 1);
    CHECK_THAT(error.what(), Contains("on slave gandalf, attempt 1 was cancelled"));
    CHECK(marks_in(folder / "marks").back() == "noticed");
    CHECK(bag.call<own_pid>().get() == worker);
  }
  CHECK(leaks.found() == "");
}

}  // namespace

TEST_CASE("a cancelled task that waits never starts") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    auto running = bag.call<hold>(1, folder / "started", folder / "go");
    wait_for_marks(folder / "started");
    std::vector<knee::Promise<void>> waiting;
    for (int i = 0; i < 5; ++i) waiting.push_back(bag.call<mark>(folder / "ran"));
    for (auto& promise : waiting) promise.cancel();
    for (auto& promise : waiting) {
      const Error error = error_of(std::move(promise));
      CHECK(error.kind() == Error::Kind::cancelled);
      CHECK_THAT(error.what(), Contains("was cancelled"));
      CHECK(error.slave().empty());
      CHECK(error.attempt() == 0);
    }
    leave_mark(folder / "go", "");
    CHECK(running.get() == 1);
    bag.call<twice>(1).get();
    CHECK(marks_in(folder / "ran").empty());
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a running task sees that it is cancelled") {
  cancel_one_that_notices<look_until_cancelled>();
}

TEST_CASE("a running task is woken by its stop token") {
  cancel_one_that_notices<wait_for_stop>();
}

TEST_CASE("a cancelled task that does not notice is killed after the grace") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.cancel_grace = 100ms;
    knee::Cluster cluster(options);
    auto bag = cluster.bag();
    auto deaf = bag.call<hang>(folder / "started");
    auto behind = bag.call<rest>(knee::TaskOptions{.attempts = 1}, 7, 0);
    wait_for_marks(folder / "started");
    deaf.cancel();
    const Error killed = error_of(std::move(deaf));
    CHECK(killed.kind() == Error::Kind::cancelled);
    CHECK(killed.slave() == "gandalf");
    CHECK(behind.get() == 7);
    CHECK(marks_in(folder / "started").size() == 1);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a task whose promise is dropped still runs") {
  SlaveProcess slave({.slots = 1});
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  (void)bag.call<mark>(folder / "ran");
  bag.wait();
  CHECK(marks_in(folder / "ran").size() == 1);
}

TEST_CASE("the end of a bag cancels what is left and waits for its callbacks") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    auto options = reaching(slave);
    options.cancel_grace = 50ms;
    knee::Cluster cluster(options);
    Tally ends(10);
    int cancelled = 0;
    {
      auto bag = cluster.bag();
      for (int i = 0; i < 10; ++i)
        bag.call<hang>(folder / "started")
            .then([] {},
                  [&, i](const Error& error) {
                    ends.add(i);
                    cancelled += error.kind() == Error::Kind::cancelled ? 1 : 0;
                  });
      wait_for_marks(folder / "started", 2);
    }
    CHECK(ends.complaints() == "");
    CHECK(cancelled == 10);
    CHECK(cluster.call<twice>(1).get() == 2);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("the end of a cluster runs every callback once, with work pending everywhere") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  Tally ends(100);
  std::atomic<int> cancelled = 0;
  {
    knee::Cluster cluster(reaching(slave));
    for (int i = 0; i < 100; ++i)
      cluster.call<hang>(folder / "started")
          .then([] {},
                [&, i](const Error& error) {
                  ends.add(i);
                  cancelled += error.kind() == Error::Kind::cancelled ? 1 : 0;
                });
    wait_for_marks(folder / "started", 2);
  }
  CHECK(ends.complaints() == "");
  CHECK(cancelled == 100);
  CHECK(leaks.found() == "");
}

TEST_CASE("a cluster can end before any slave has come") {
  const LeakCheck leaks;
  int cancelled = 0;
  {
    knee::ClusterOptions options;
    options.slaves = {"unix:/nonexistent/slave.sock"};
    knee::Cluster cluster(options);
    cluster.call<twice>(1).then(
        [](int) {},
        [&](const Error& error) { cancelled += error.kind() == Error::Kind::cancelled ? 1 : 0; });
  }
  CHECK(cancelled == 1);
  CHECK(leaks.found() == "");
}
