#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <stdexcept>
#include <thread>

#include "ends.h"

/// A worker holds user code, which may write anywhere in its memory, the shared page included.
using namespace knee;
using namespace knee::test;
using channel::Claim;
using channel::Control;
using channel::SharedMemory;
using channel::SlaveEnd;

namespace {

/// The worker's mapping without the worker's manners.
struct Page {
  explicit Page(SlaveEnd& slave)
      : bell((slave.send_setup(bytes_of(std::string("setup"))), slave.take_worker_socket())),
        memory(SharedMemory::map(bell.receive_setup().second)) {}
  Control& control() { return *reinterpret_cast<Control*>(memory.bytes().data()); }
  channel::Doorbell bell;
  SharedMemory memory;
};

}  // namespace

TEST_CASE("claims that were never published are not believed") {
  SlaveEnd slave;
  Page page(slave);
  for (int i = 0; i < 3; ++i) REQUIRE(slave.offer(bytes_of(numbered(1))));
  slave.publish();
  const auto claimed = GENERATE(4U, 100U, 0x80000000U, 0xffffffffU);
  page.control().claim = Claim{claimed, 3}.pack();
  CHECK(slave.claimed() <= slave.offered());
  CHECK(slave.take_back() <= 3);
  CHECK(slave.offered() <= 3);
}

TEST_CASE("a claim cannot be undone: records seen claimed are not taken back") {
  SlaveEnd slave;
  Page page(slave);
  for (int i = 0; i < 5; ++i) REQUIRE(slave.offer(bytes_of(numbered(1))));
  slave.publish();
  page.control().claim = Claim{3, 5}.pack();
  REQUIRE(slave.claimed() == 3);
  page.control().claim = Claim{1, 5}.pack();
  CHECK(slave.claimed() == 3);
  CHECK(slave.take_back() <= 2);
  CHECK(slave.offered() >= 3);
}

TEST_CASE("a start and a progress beyond sense are read as sense") {
  SlaveEnd slave;
  Page page(slave);
  page.control().started_at = ~std::uint64_t{0};
  CHECK(static_cast<std::int64_t>(slave.started_at()) >= 0);
  page.control().progress = ~std::uint32_t{0};
  CHECK(slave.progress() <= 1.0F);
}

TEST_CASE("positions beyond sense are exceptions") {
  SlaveEnd slave;
  Page page(slave);
  page.control().outcome_written =
      GENERATE(~std::uint64_t{0}, std::uint64_t{1} << 63, std::uint64_t{channel::kRingSize + 8});
  CHECK_FALSE(slave.sleep());
  CHECK_THROWS_AS(slave.next_outcome(), std::runtime_error);
}

TEST_CASE("whatever a worker scribbles, the slave's end stays inside its memory") {
  SlaveEnd slave;
  Page page(slave);
  std::atomic<bool> stop = false;
  const auto fields = [](Control& c, std::mt19937_64& random) {
    const auto any = [&]() -> std::uint64_t {
      switch (random() % 4) {
        case 0:
          return random();
        case 1:
          return random() % 64;
        case 2:
          return random() % (4 * channel::kRingSize);
        default:
          return ~(random() % 64);
      }
    };
    c.claim = any();
    c.claim = Claim{static_cast<std::uint32_t>(any()), static_cast<std::uint32_t>(any())}.pack();
    c.task_read = any();
    c.outcome_written = any();
    c.started_at = any();
    c.finished = static_cast<std::uint32_t>(any());
    c.progress = static_cast<std::uint32_t>(any());
    c.worker_sleeps = random() % 2;
    c.outcome_read = any();
    c.slave_sleeps = random() % 2;
  };
  std::thread scribbling([&] {
    std::mt19937_64 random(1);
    const std::size_t words = (channel::kChannelSize - channel::kControlSize) / 8;
    auto* rings =
        reinterpret_cast<std::uint64_t*>(page.memory.bytes().data() + channel::kControlSize);
    while (!stop.load(std::memory_order_relaxed)) {
      fields(page.control(), random);
      for (int i = 0; i < 64; ++i) {
        const auto value = random() % 3 == 0   ? 0xffffffffU
                           : random() % 3 == 0 ? random()
                                               : random() % 9000;
        // Near the beginning, where the slave reads first, or anywhere.
        std::atomic_ref(rings[random() % (random() % 2 ? 64 : words)])
            .store(value, std::memory_order_relaxed);
      }
    }
  });

  std::mt19937 random(2);
  std::size_t errors = 0;
  std::size_t outcomes = 0;
  std::uint64_t sum = 0;
  std::uint32_t taken = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (std::uint64_t i = 0; i % 256 != 0 || std::chrono::steady_clock::now() < end; ++i) {
    try {
      switch (random() % 6) {
        case 0:
          if (const auto outcome = slave.next_outcome()) {
            ++outcomes;
            // The bytes are there to be read, whatever they are.
            for (const auto byte : *outcome) sum += static_cast<std::uint64_t>(byte);
          }
          break;
        case 1: {
          const auto before = slave.offered();
          const auto count = slave.take_back();
          REQUIRE(count <= before);
          REQUIRE(slave.offered() == before - count);
          taken += count;
          break;
        }
        case 2:
          slave.publish();
          break;
        case 3:
          slave.release_outcomes();
          (void)slave.sleep();
          break;
        case 4:
          REQUIRE(slave.claimed() <= slave.offered());
          REQUIRE(slave.progress() <= 1.0F);
          REQUIRE(slave.listen());
          break;
        default:
          (void)slave.offer(bytes_of(numbered(i, 1 + random() % 8000)));
          break;
      }
    } catch (const std::runtime_error&) {
      ++errors;
    }
  }
  stop = true;
  scribbling.join();
  CAPTURE(errors, outcomes, taken, sum);
  CHECK(errors > 100);
}
