#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;

std::vector<std::uint32_t> pattern(std::size_t bytes) {
  std::vector<std::uint32_t> numbers(bytes / 4);
  std::uint32_t x = 1;
  for (auto& number : numbers) number = x = x * 1664525 + 1013904223;
  return numbers;
}

std::vector<std::uint32_t> plus_one(std::vector<std::uint32_t> numbers) {
  for (auto& number : numbers) ++number;
  return numbers;
}

std::string block(int number) {
  return std::string(100'000, static_cast<char>('a' + number % 26));
}

/// Returns when so many have begun.
std::size_t meet(std::string bytes, std::string here, std::size_t count) {
  leave_mark(here, "");
  wait_for_marks(here, count);
  return bytes.size();
}

/// Watches how much memory processes have, on a thread of its own, until it is destroyed.
class MemoryWatch {
 public:
  explicit MemoryWatch(pid_t pid)
      : start_(resident_memory_of(pid)), most_(start_), thread_([this, pid](std::stop_token stop) {
          while (!stop.stop_requested()) {
            most_ = std::max<std::uint64_t>(most_, resident_memory_of(pid));
            std::this_thread::sleep_for(5ms);
          }
        }) {}
  std::uint64_t growth() const { return most_ - start_; }

 private:
  std::uint64_t start_;
  std::atomic<std::uint64_t> most_;
  std::jthread thread_;
};

}  // namespace

TEST_CASE("tasks whose arguments are large run on all slots of a slave at once") {
  SlaveProcess slave({.slots = 2});
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    constexpr std::size_t kSize = 10'000'000;
    auto one = bag.call<meet>(std::string(kSize, 'x'), folder / "here", 2u);
    auto two = bag.call<meet>(std::string(kSize, 'y'), folder / "here", 2u);
    CHECK(one.get() == kSize);
    CHECK(two.get() == kSize);
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("64 MiB go there and come back, byte for byte") {
  SlaveProcess slave({.slots = 1});
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto numbers = pattern(64 * kMiB);
    auto promise = cluster.call<plus_one>(numbers);
    for (auto& number : numbers) ++number;
    const bool equal = promise.get() == numbers;
    CHECK(equal);
  }
  CHECK(leaks.found() == "");
  CHECK(wait_until([&] { return resident_memory_of(slave.pid()) < 64 * kMiB * kMemorySlack; }, 5s));
}

TEST_CASE("a slow callback stops the slaves, and memory stays bounded everywhere") {
  constexpr int kTasks = 10'000;  // a gigabyte of results
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    Tally results(kTasks);
    std::atomic<int> wrong = 0;
    const MemoryWatch slaves(slave.pid());
    const MemoryWatch drivers(::getpid());
    for (int i = 0; i < kTasks; ++i)
      bag.call<block>(i).then([&, i](const std::string& text) {
        results.add(i);
        wrong += text == block(i) ? 0 : 1;
        std::this_thread::sleep_for(100us);
      });
    bag.wait();
    CHECK(results.complaints() == "");
    CHECK(wrong == 0);
    CHECK(slaves.growth() < 160 * kMiB * kMemorySlack);
    CHECK(drivers.growth() < 300 * kMiB * kMemorySlack);
  }
  CHECK(leaks.found() == "");
}
