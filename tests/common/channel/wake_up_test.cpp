#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>
#include <random>
#include <thread>

#include "ends.h"

using namespace knee;
using namespace knee::test;
using channel::SlaveEnd;
using channel::WorkerEnd;

namespace {

/// Generous: sanitizers, and machines with more to do. A lost wake-up takes it whole.
constexpr int kDeadline = 60'000;  // ms

/// A few nanoseconds per turn, so that the two sides meet in ever other ways.
void pass_time(unsigned turns) {
  for (; turns != 0; --turns) asm volatile("");
}

/// Answers each record with `words` words of its number, until the slave is gone.
[[noreturn]] void echo(UniqueFd socket, std::size_t words, unsigned spin) {
  WorkerEnd worker(std::move(socket));
  std::mt19937 random(1);
  for (;;) {
    const auto record = worker.claim();
    if (!record) {
      if (!worker.wait()) ::_exit(0);
      continue;
    }
    const auto number = number_in(*record);
    worker.release_record();
    worker.end();
    pass_time(random() % (spin + 1));
    if (!worker.put(bytes_of(numbered(number, words)))) ::_exit(0);
  }
}

/// A worker process; killed and buried at the end.
struct Echo {
  Echo(SlaveEnd& slave, std::size_t words, unsigned spin) {
    slave.send_setup(bytes_of(std::string("setup")));
    auto socket = slave.take_worker_socket();
    pid = ::fork();
    if (pid == 0) echo(std::move(socket), words, spin);
  }
  ~Echo() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  pid_t pid;
};

/// Sends `total` records with at most `window` unanswered, sleeps whenever there is nothing to
/// read. False: nothing came until the deadline.
bool run(SlaveEnd& slave, std::uint64_t total, std::uint64_t window, unsigned spin) {
  std::mt19937 random(2);
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  while (answered != total) {
    while (sent != total && sent - answered < window && slave.offer(bytes_of(numbered(sent + 1))))
      ++sent;
    slave.publish();
    pass_time(random() % (spin + 1));
    while (const auto outcome = slave.next_outcome())
      if (number_in(*outcome) != ++answered) return false;
    slave.release_outcomes();
    if (answered == total || (sent != total && sent - answered < window) || !slave.sleep())
      continue;
    pollfd bell{slave.fd(), POLLIN, 0};
    if (::poll(&bell, 1, kDeadline) != 1 || !slave.listen()) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("one record at a time: neither side sleeps through the other's word") {
  SlaveEnd slave;
  const Echo worker(slave, 1, 200);
  CHECK(run(slave, 20'000, 1, 200));
}

TEST_CASE("many records at a time: neither side sleeps through the other's word") {
  SlaveEnd slave;
  const Echo worker(slave, 1, 50);
  CHECK(run(slave, 300'000, 64, 100));
}

TEST_CASE("a worker with a full outcome ring does not sleep through the room it gets") {
  SlaveEnd slave;
  const Echo worker(slave, channel::kMaxRecord / 8 - 1, 0);  // four fill the ring
  CHECK(run(slave, 30'000, 1000, 0));
}

TEST_CASE("a worker that finds its ring full looks again after saying that it sleeps") {
  // The slave reads between the worker's failed write and its next look: no later bell comes.
  for (unsigned round = 0; round < 300; ++round) {
    auto slave = std::make_unique<SlaveEnd>();
    slave->send_setup(bytes_of(std::string("setup")));
    WorkerEnd worker(slave->take_worker_socket());
    std::promise<void> five;
    std::thread working([&] {
      const auto record = numbered(1, channel::kMaxRecord / 8 - 1);
      for (int i = 0; i < 5; ++i)
        if (!worker.put(bytes_of(record))) return;
      five.set_value();
    });
    for (int outcomes = 0; outcomes != 4;)
      if (slave->next_outcome()) ++outcomes;
    pass_time(10 * round);
    slave->release_outcomes();
    const auto put = five.get_future().wait_for(std::chrono::milliseconds(kDeadline));
    slave.reset();  // so that a worker that sleeps ends, too
    working.join();
    REQUIRE(put == std::future_status::ready);
  }
}
