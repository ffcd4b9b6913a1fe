#include <knee/this_task.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/traffic.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;
using knee::Shared;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;

using Numbers = std::vector<std::int64_t>;

Numbers numbers(std::size_t count, std::int64_t first = 1) {
  Numbers all(count);
  std::iota(all.begin(), all.end(), first);
  return all;
}

std::int64_t sum_plus(const Shared<Numbers>& shared, std::int64_t more) {
  return std::accumulate(shared->begin(), shared->end(), more);
}

/// Of the value, and where.
std::pair<std::int64_t, std::string> last_here(const Shared<Numbers>& shared) {
  return {shared->back(), knee::this_task::slave()};
}

std::int64_t sum_of_two(Shared<Numbers> a, Shared<std::string> b) {
  return a->back() + static_cast<std::int64_t>(b->size());
}

struct Job {
  int factor;
  Shared<Numbers> data;
};

std::int64_t scaled(const Job& job) {
  return job.factor * job.data->back();
}

std::int64_t last_of_all(const std::vector<Shared<Numbers>>& all) {
  std::int64_t sum = 0;
  for (const auto& one : all) sum += one->back();
  return sum;
}

/// Counts how often it was read in this process.
struct Heavy {
  int content = 0;
  static inline int times_read = 0;

  template <class Archive>
  void save(Archive& archive) const {
    archive(content);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(content);
    ++times_read;
  }
};

struct Seen {
  int pid;
  int content;
  int times_read;
};

Seen look_at(const Shared<Heavy>& heavy) {
  return {own_pid(), heavy->content, Heavy::times_read};
}

std::int64_t lose_a_worker_first(const Shared<Numbers>& shared) {
  const auto last = shared->back();
  if (knee::this_task::attempt() == 1) ::raise(SIGKILL);
  return last;
}

std::int64_t lose_a_slave_first(const Shared<Numbers>& shared, std::string started) {
  if (knee::this_task::attempt() == 1) hang(started);
  return shared->back();
}

/// Does not show the compiler what is in it.
struct Wrapped {
  Shared<Numbers> shared;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(shared);
  }
};
Wrapped give_it_back(const Shared<Numbers>& shared) {
  return {shared};
}

std::size_t size_of_nothing(const Shared<std::array<int, 0>>& nothing) {
  return nothing->size();
}

bool refers_to_something(const Shared<Numbers>& shared) {
  return static_cast<bool>(shared);
}

/// Whether `bytes` are those of a value of `content` bytes, with the little that frames it.
bool is_about(std::uint64_t bytes, std::size_t content) {
  return bytes >= content && bytes < content + 256;
}

}  // namespace

TEST_CASE("a shared value is the same in every task, and travels once") {
  SlaveProcess slave({.own_store = true});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    REQUIRE(bag.call<twice>(1).get() == 2);
    const auto before = received_by(slave);
    const auto shared = cluster.share(numbers(100'000));
    const auto sum = std::accumulate(shared->begin(), shared->end(), std::int64_t{0});
    int wrong = 0;
    int came = 0;
    for (int i = 0; i < 500; ++i)
      bag.call<sum_plus>(shared, i).then([&, i](std::int64_t x) {
        ++came;
        wrong += x == sum + i ? 0 : 1;
      });
    bag.wait();
    CHECK(came == 500);
    CHECK(wrong == 0);
    CHECK(is_about(received_by(slave) - before, 800'000));
    // An equal value is the same value, in a second cluster too.
    knee::Cluster second(reaching(slave));
    CHECK(second.call<sum_plus>(second.share(numbers(100'000)), 1).get() == sum + 1);
    CHECK(is_about(received_by(slave) - before, 800'000));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("each of two slaves gets a shared value once") {
  SlaveProcess gandalf({.name = "gandalf", .own_store = true});
  SlaveProcess frodo({.name = "frodo", .own_store = true});
  const LeakCheck leaks({&gandalf, &frodo});
  {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    REQUIRE(wait_until([&] { return cluster.slots() == 4; }));
    const auto gandalf_had = received_by(gandalf);
    const auto frodo_had = received_by(frodo);
    const auto shared = cluster.share(numbers(50'000));
    std::vector<knee::Promise<std::pair<std::int64_t, std::string>>> promises;
    for (int i = 0; i < 100; ++i)
      promises.push_back(cluster.slave(i % 2 == 0 ? "gandalf" : "frodo").call<last_here>(shared));
    for (int i = 0; i < 100; ++i) {
      const auto [last, name] = promises[static_cast<std::size_t>(i)].get();
      CHECK(last == 50'000);
      CHECK(name == (i % 2 == 0 ? "gandalf" : "frodo"));
    }
    CHECK(is_about(received_by(gandalf) - gandalf_had, 400'000));
    CHECK(is_about(received_by(frodo) - frodo_had, 400'000));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a worker reads a shared value once, however many tasks use it") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  const auto shared = cluster.share(Heavy{42});
  std::set<int> workers;
  int wrong = 0;
  for (int i = 0; i < 300; ++i)
    bag.call<look_at>(shared).then([&](const Seen& seen) {
      workers.insert(seen.pid);
      wrong += seen.content == 42 && seen.times_read == 1 ? 0 : 1;
    });
  bag.wait();
  CHECK(wrong == 0);
  CHECK(workers.size() <= 2);
}

TEST_CASE("a worker that replaces a dead one knows the shared values") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    const auto shared = cluster.share(numbers(1000));
    CHECK(cluster.call<lose_a_worker_first>(shared).get() == 1000);
    CHECK(cluster.call<sum_plus>(shared, 0).get() == 500'500);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a shared value is there again after its slave was killed and restarted") {
  SlaveProcess slave({.slots = 1, .own_store = true});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    const auto shared = cluster.share(numbers(100'000));
    REQUIRE(cluster.call<sum_plus>(shared, 0).get() == 5'000'050'000);
    auto running = cluster.call<lose_a_slave_first>(shared, folder / "started");
    auto waiting = cluster.call<sum_plus>(shared, 1);
    wait_for_marks(folder / "started");
    SECTION("with what it had stored") {
      slave.kill();
      slave.start();
      CHECK(running.get() == 100'000);
      CHECK(received_by(slave) == 0);
    }
    SECTION("with nothing") {
      slave.kill();
      std::filesystem::remove_all(slave.store());
      slave.start();
      CHECK(running.get() == 100'000);
      CHECK(received_by(slave) > 800'000);
    }
    CHECK(waiting.get() == 5'000'050'001);
    CHECK(cluster.call<sum_plus>(shared, 2).get() == 5'000'050'002);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a lambda takes a shared value") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  const auto shared = cluster.share(std::string("a rose"));
  auto promise = cluster.call(
      [](const Shared<std::string>& text, int times) {
        std::string all;
        for (int i = 0; i < times; ++i) all += *text + " is ";
        return all + *text;
      },
      shared, 2);
  CHECK(promise.get() == "a rose is a rose is a rose");
}

TEST_CASE("shared values come several at once, and inside other arguments") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  const auto few = cluster.share(numbers(10));
  const auto more = cluster.share(numbers(1000));
  CHECK(cluster.call<sum_of_two>(more, cluster.share(std::string("four"))).get() == 1004);
  CHECK(cluster.call<scaled>(Job{3, more}).get() == 3000);
  CHECK(cluster.call<last_of_all>(std::vector{few, more, few}).get() == 1020);
}

TEST_CASE("a shared value outlives its handle in the driver") {
  SlaveProcess slave({.start = false});
  knee::Cluster cluster(reaching(slave));
  auto promise = [&] { return cluster.call<sum_plus>(cluster.share(numbers(1000)), 0); }();
  slave.start();
  CHECK(promise.get() == 500'500);
}

TEST_CASE("values of nothing can be shared") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  CHECK(cluster.call<sum_plus>(cluster.share(Numbers()), 5).get() == 5);
  // This one has no bytes at all.
  CHECK(cluster.call<size_of_nothing>(cluster.share(std::array<int, 0>())).get() == 0);
}

TEST_CASE("50 MB are shared, and cost the slave's own memory nothing") {
  SlaveProcess slave({.own_store = true});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    REQUIRE(bag.call<twice>(1).get() == 2);
    const auto before = received_by(slave);
    const std::size_t count = 50 * kMiB / sizeof(std::int64_t);
    const auto shared = cluster.share(numbers(count));
    Tally results(10);
    for (int i = 0; i < 10; ++i)
      bag.call<last_here>(shared).then([&, i](const std::pair<std::int64_t, std::string>& last) {
        if (last.first == static_cast<std::int64_t>(count)) results.add(i);
      });
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(is_about(received_by(slave) - before, 50 * kMiB));
    CHECK(resident_memory_of(slave.pid()) < 50 * kMiB * kMemorySlack);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a Shared that refers to nothing is refused where it is used") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  const Shared<Numbers> nothing;
  CHECK_FALSE(nothing);
  const Error error = error_out_of([&] { (void)bag.call<sum_plus>(nothing, 1); });
  CHECK(error.kind() == Error::Kind::usage);
  CHECK_THAT(error.what(), Contains("Cluster::share"));
  CHECK(bag.counts().outstanding == 0);
  bag.wait();
  CHECK(bag.call<refers_to_something>(cluster.share(numbers(1))).get());
}

TEST_CASE("a Shared that is hidden in a result makes its task fail, in words") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  const auto shared = cluster.share(numbers(1));
  const Error error = error_of(cluster.call<give_it_back>(shared));
  CHECK(error.kind() == Error::Kind::exception);
  CHECK_THAT(error.exception_text(), Contains("can only be an argument of a task"));
}
