#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <random>
#include <thread>

#include "ends.h"

using namespace knee;
using namespace knee::test;
using channel::SharedMemory;
using channel::SlaveEnd;
using channel::WorkerEnd;

namespace {

std::uint64_t claim_number(WorkerEnd& worker) {
  const auto record = worker.claim();
  REQUIRE(record);
  const auto number = number_in(*record);
  worker.release_record();
  worker.end();
  return number;
}

bool offer(SlaveEnd& slave, std::uint64_t number, std::size_t words = 1) {
  return slave.offer(bytes_of(numbered(number, words)));
}

}  // namespace

TEST_CASE("the worker gets the setup as it was sent") {
  Ends ends;
  CHECK(ends.worker.setup() == "setup");
  CHECK_FALSE(ends.worker.claim());
  CHECK(ends.slave.claimed() == 0);
  CHECK(ends.slave.finished() == 0);
  CHECK(ends.slave.started_at() == 0);
  CHECK(ends.slave.progress() < 0);
}

TEST_CASE("a worker refuses a layout it does not know, in words") {
  SlaveEnd slave;
  slave.send_setup(bytes_of(std::string("setup")));
  auto socket = slave.take_worker_socket();
  auto& control = [&]() -> channel::Control& {
    // The page as another version of the slave would fill it.
    static SharedMemory memory;
    channel::Doorbell bell(UniqueFd(::dup(socket.get())));
    memory = SharedMemory::map(bell.receive_setup().second);
    return *reinterpret_cast<channel::Control*>(memory.bytes().data());
  }();
  const auto field = GENERATE(0, 1, 2, 3);
  if (field == 0) control.magic = 1;
  if (field == 1) control.layout_version = 99;
  if (field == 2) control.ring_size = 3000;
  if (field == 3) control.ring_size = 0;
  slave.send_setup(bytes_of(std::string("setup")));
  CHECK_THROWS_WITH(WorkerEnd(std::move(socket)),
                    Catch::Contains(field < 2 ? "same Knee version" : "shorter than it says"));
}

TEST_CASE("records are claimable once published, in the order offered") {
  Ends ends;
  REQUIRE(offer(ends.slave, 1));
  REQUIRE(offer(ends.slave, 2, 5));
  CHECK_FALSE(ends.worker.claim());
  ends.slave.publish();
  CHECK(claim_number(ends.worker) == 1);
  CHECK(ends.worker.number() == 1);
  CHECK(ends.slave.claimed() == 1);
  CHECK(claim_number(ends.worker) == 2);
  CHECK(ends.slave.claimed() == 2);
  CHECK(ends.slave.finished() == 2);
  CHECK(ends.slave.offered() == 2);
  CHECK_FALSE(ends.worker.claim());
}

TEST_CASE("what is taken back is not claimed, published or not, and its numbers are used again") {
  Ends ends;
  for (std::uint64_t i = 1; i <= 4; ++i) REQUIRE(offer(ends.slave, i, i));
  ends.slave.publish();
  CHECK(claim_number(ends.worker) == 1);
  REQUIRE(offer(ends.slave, 5));
  CHECK(ends.slave.take_back() == 4);
  CHECK(ends.slave.offered() == 1);
  CHECK_FALSE(ends.worker.claim());
  CHECK(ends.slave.take_back() == 0);
  REQUIRE(offer(ends.slave, 6, 3));
  ends.slave.publish();
  CHECK(claim_number(ends.worker) == 6);
  CHECK(ends.worker.number() == 2);
}

TEST_CASE("the claimed record stays as it is while others are taken back and replaced") {
  Ends ends;
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(offer(ends.slave, i, 10));
  ends.slave.publish();
  const auto record = ends.worker.claim();
  REQUIRE(record);
  CHECK(ends.slave.take_back() == 2);
  while (offer(ends.slave, 99, 500)) {
  }
  CHECK(number_in(*record) == 1);
}

TEST_CASE("start, progress and end of a task show in the page") {
  Ends ends;
  REQUIRE(offer(ends.slave, 1));
  ends.slave.publish();
  REQUIRE(ends.worker.claim());
  ends.worker.begin(12345);
  CHECK(ends.slave.started_at() == 12345);
  CHECK(ends.slave.progress() < 0);
  ends.worker.set_progress(0.25F);
  CHECK(ends.slave.progress() == Approx(0.25));
  ends.worker.set_progress(7);
  CHECK(ends.slave.progress() == 1.0F);
  ends.worker.set_progress(-7);
  CHECK(ends.slave.progress() == 0.0F);
  CHECK(ends.slave.finished() == 0);
  ends.worker.end();
  CHECK(ends.slave.started_at() == 0);
  CHECK(ends.slave.finished() == 1);
  REQUIRE(offer(ends.slave, 2));
  ends.slave.publish();
  REQUIRE(ends.worker.claim());
  ends.worker.begin(1);
  CHECK(ends.slave.progress() < 0);
}

TEST_CASE("a cancel reaches the record it names and no other") {
  Ends ends;
  CHECK_FALSE(ends.worker.cancelled(0));
  ends.slave.cancel(5);
  CHECK(ends.worker.cancelled(5));
  CHECK_FALSE(ends.worker.cancelled(4));
  CHECK_FALSE(ends.worker.cancelled(6));
}

TEST_CASE("a thread that waits for a cancel is woken by it") {
  Ends ends;
  std::thread waiting([&] { CHECK(ends.worker.wait_cancel_word(0) == 8); });
  ends.slave.cancel(7);
  waiting.join();
}

TEST_CASE("a worker waits until its output was read, or its slave is gone") {
  auto ends = std::make_unique<SlaveEnd>();
  ends->send_setup(bytes_of(std::string("setup")));
  WorkerEnd worker(ends->take_worker_socket());
  std::thread reading([&] { ends->output_drained(3); });
  CHECK(worker.wait_output_drained(3));
  reading.join();
  ends.reset();
  CHECK_FALSE(worker.wait_output_drained(4));
}

TEST_CASE("values travel both ways beside the records") {
  Ends ends;
  const auto down = SharedMemory::create("down", 1'000'000);
  std::memset(down.bytes().data(), 'd', down.bytes().size());
  REQUIRE(ends.slave.send_value(1, down.fd()));
  auto fd = ends.worker.wait_value(1);
  REQUIRE(fd);
  const auto seen = SharedMemory::map(std::move(*fd));
  CHECK(seen.bytes().size() == 1'000'000);
  CHECK(seen.bytes()[999'999] == std::byte{'d'});

  const auto up = SharedMemory::create("up", 300'000);
  up.bytes()[299'999] = std::byte{'u'};
  REQUIRE(ends.worker.send_value(9, up.fd()));
  CHECK(ends.slave.listen());
  auto taken = ends.slave.take_value(9);
  REQUIRE(taken);
  CHECK(SharedMemory::map(std::move(*taken), 300'000).bytes()[299'999] == std::byte{'u'});
}

TEST_CASE("a worker that waits for a value, or passes one, when its slave is gone is told so") {
  auto slave = std::make_unique<SlaveEnd>();
  slave->send_setup(bytes_of(std::string("setup")));
  WorkerEnd worker(slave->take_worker_socket());
  slave.reset();
  CHECK_FALSE(worker.wait_value(1));
  CHECK_FALSE(worker.wait());
  const auto value = SharedMemory::create("up", 1);
  CHECK_FALSE(worker.send_value(1, value.fd()));
}

TEST_CASE("memory is lent for the result of one record, and not for another") {
  Ends ends;
  const auto lent = SharedMemory::create("lent", 4096);
  REQUIRE(offer(ends.slave, 1));
  REQUIRE(ends.slave.lend(lent.fd()));
  REQUIRE(offer(ends.slave, 2));
  REQUIRE(offer(ends.slave, 3));
  ends.slave.publish();
  CHECK(claim_number(ends.worker) == 1);
  CHECK_FALSE(ends.worker.take_lent());
  SECTION("the record it was meant for has it, once") {
    CHECK(claim_number(ends.worker) == 2);
    const auto taken = ends.worker.take_lent();
    REQUIRE(taken);
    CHECK(channel::is_same(taken.get(), lent.fd()));
    CHECK_FALSE(ends.worker.take_lent());
  }
  SECTION("a later record has not") {
    CHECK(claim_number(ends.worker) == 2);
    CHECK(claim_number(ends.worker) == 3);
    CHECK_FALSE(ends.worker.take_lent());
  }
}

TEST_CASE("nothing can be lent to a worker that is gone") {
  SlaveEnd slave;
  slave.send_setup(bytes_of(std::string("setup")));
  slave.take_worker_socket().reset();
  const auto memory = SharedMemory::create("lent", 4096);
  CHECK_FALSE(slave.lend(memory.fd()));
}

TEST_CASE("content is no more than what was said, and discarded bytes are zero") {
  const auto memory = SharedMemory::create("memory", 8192);
  memory.bytes()[5000] = std::byte{'x'};
  const auto part = SharedMemory::map(UniqueFd(::dup(memory.fd())), 5001);
  CHECK(part.bytes().size() == 5001);
  CHECK(part.capacity() == 8192);
  CHECK(part.bytes()[5000] == std::byte{'x'});
  memory.discard();
  CHECK(part.bytes()[5000] == std::byte{0});
}

TEST_CASE("memory that its maker could shrink, or too short, is not mapped") {
  UniqueFd loose(::memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(::ftruncate(loose.get(), 4096) == 0);
  CHECK_THROWS_WITH(SharedMemory::map(std::move(loose)), Catch::Contains("not sealed"));
  UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK_THROWS_WITH(SharedMemory::map(std::move(file)), Catch::Contains("not a memfd"));
  const auto good = SharedMemory::create("good", 4096);
  CHECK_THROWS_WITH(SharedMemory::map(UniqueFd(::dup(good.fd())), 8192),
                    Catch::Contains("shorter than its content"));
  CHECK(::ftruncate(good.fd(), 0) != 0);
}

TEST_CASE("an empty value is a value") {
  const auto empty = SharedMemory::create("empty", 0);
  CHECK(SharedMemory::map(UniqueFd(::dup(empty.fd()))).bytes().empty());
}

TEST_CASE("both rings fill up and go on when there is room") {
  Ends ends;
  std::uint64_t offered = 0;
  while (offer(ends.slave, offered + 1, 1000)) ++offered;
  CHECK(offered == 32);  // of 8008 bytes in 256 KiB
  ends.slave.publish();
  CHECK_FALSE(offer(ends.slave, 99, 1000));

  // The outcomes fill the other ring; the worker waits in put() until the slave has read some.
  std::atomic<std::uint64_t> put = 0;
  std::thread working([&] {
    for (std::uint64_t i = 1; i <= 100; ++i) {
      REQUIRE(ends.worker.put(bytes_of(numbered(i, 1000)), WorkerEnd::Bell::at_once));
      ++put;
    }
  });
  for (std::uint64_t expected = 1; expected <= 100;) {
    while (const auto outcome = ends.slave.next_outcome()) {
      REQUIRE(number_in(*outcome) == expected++);
    }
    ends.slave.release_outcomes();
    if (expected <= 100 && ends.slave.sleep()) {
      pollfd bell{ends.slave.fd(), POLLIN, 0};
      REQUIRE(::poll(&bell, 1, 60'000) == 1);
      REQUIRE(ends.slave.listen());
    }
  }
  working.join();
  CHECK(put == 100);

  for (std::uint64_t i = 1; i <= offered; ++i) CHECK(claim_number(ends.worker) == i);
  CHECK(offer(ends.slave, 99, 1000));
}

namespace {

bool rings(SlaveEnd& slave) {
  pollfd bell{slave.fd(), POLLIN, 0};
  return ::poll(&bell, 1, 0) == 1;
}

void claim_and_answer(Ends& ends, std::uint64_t number,
                      WorkerEnd::Bell bell = WorkerEnd::Bell::as_agreed) {
  REQUIRE(claim_number(ends.worker) == number);
  REQUIRE(ends.worker.put(bytes_of(numbered(number)), bell));
}

}  // namespace

TEST_CASE("a worker with work enough rings when most of it is done") {
  Ends ends;
  for (std::uint64_t i = 1; i <= 8; ++i) REQUIRE(offer(ends.slave, i));
  ends.slave.publish();
  REQUIRE(ends.slave.sleep());
  CHECK(ends.slave.bell_waits());
  for (std::uint64_t i = 1; i <= 5; ++i) claim_and_answer(ends, i);
  CHECK_FALSE(rings(ends.slave));
  claim_and_answer(ends, 6);
  CHECK(rings(ends.slave));
}

TEST_CASE("a worker with little work rings for each outcome") {
  Ends ends;
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(offer(ends.slave, i));
  ends.slave.publish();
  REQUIRE(ends.slave.sleep());
  CHECK_FALSE(ends.slave.bell_waits());
  claim_and_answer(ends, 1);
  CHECK(rings(ends.slave));
}

TEST_CASE(
    "an outcome that somebody waits for rings at once, and so does a ring that is half full") {
  Ends ends;
  for (std::uint64_t i = 1; i <= 30; ++i) REQUIRE(offer(ends.slave, i));
  ends.slave.publish();
  REQUIRE(ends.slave.sleep());
  SECTION("somebody waits") {
    claim_and_answer(ends, 1, WorkerEnd::Bell::at_once);
    CHECK(rings(ends.slave));
  }
  SECTION("half full") {
    for (std::uint64_t i = 1; i <= 2; ++i) {
      CHECK_FALSE(rings(ends.slave));
      REQUIRE(claim_number(ends.worker) == i);
      REQUIRE(ends.worker.put(bytes_of(numbered(i, channel::kMaxRecord / 8 - 1))));
    }
    REQUIRE(ends.worker.put(bytes_of(numbered(3))));
    CHECK(rings(ends.slave));
  }
}

TEST_CASE("after a take-back the slave goes on looking until it has looked once") {
  Ends ends;
  for (std::uint64_t i = 1; i <= 8; ++i) REQUIRE(offer(ends.slave, i));
  ends.slave.publish();
  REQUIRE(ends.slave.sleep());
  claim_and_answer(ends, 1);
  CHECK(ends.slave.take_back() == 7);
  CHECK_FALSE(rings(ends.slave));
  CHECK(ends.slave.bell_waits());
  REQUIRE_FALSE(ends.slave.sleep());
  REQUIRE(ends.slave.next_outcome());
  ends.slave.release_outcomes();
  REQUIRE(ends.slave.sleep());
  CHECK_FALSE(ends.slave.bell_waits());
}

TEST_CASE("a worker that waits for room learns that its slave is gone") {
  auto slave = std::make_unique<SlaveEnd>();
  slave->send_setup(bytes_of(std::string("setup")));
  WorkerEnd worker(slave->take_worker_socket());
  std::thread leaving([&] { slave.reset(); });
  bool there = true;
  for (int i = 0; i < 1000 && there; ++i) there = worker.put(bytes_of(numbered(1, 1000)));
  CHECK_FALSE(there);
  leaving.join();
}

TEST_CASE("each record is claimed or taken back, exactly once, however the two race") {
  constexpr int kOperations = 100'000;
  Ends ends;
  std::vector<std::uint32_t> claimed;
  std::thread working([&] {
    std::mt19937 random(3);
    for (;;) {
      const auto record = ends.worker.claim();
      if (!record) {
        if (!ends.worker.wait()) return;
        continue;
      }
      const auto number = number_in(*record);
      ends.worker.begin(1);
      if (number == 0) return;
      claimed.push_back(static_cast<std::uint32_t>(number));
      if (random() % 16 == 0) std::this_thread::yield();
      ends.worker.release_record();
      ends.worker.end();
      // Number of the record and number in the page are what the slave goes by.
      if (!ends.worker.put(bytes_of(numbered(number, 1 + random() % 20)))) return;
    }
  });

  std::mt19937 random(5);
  std::vector<std::uint32_t> outstanding;  // offered and not known to have ended, in order
  std::vector<std::uint32_t> taken;
  std::uint32_t next = 0;
  std::uint32_t ended = 0;
  const auto read_outcomes = [&] {
    while (const auto outcome = ends.slave.next_outcome()) {
      REQUIRE(ended < outstanding.size());
      REQUIRE(number_in(*outcome) == outstanding[ended++]);
    }
    ends.slave.release_outcomes();
  };
  // On a busy machine the other thread may hardly have run by then.
  for (int i = 0; i < kOperations || ended <= 1000; ++i) {
    if (i % 64 == 0) std::this_thread::yield();  // one core is enough for both
    switch (random() % 8) {
      case 0:
        for (auto count = ends.slave.take_back(); count != 0; --count) {
          REQUIRE_FALSE(outstanding.empty());
          taken.push_back(outstanding.back());
          outstanding.pop_back();
        }
        REQUIRE(ends.slave.offered() == outstanding.size());
        break;
      case 1:
        read_outcomes();
        break;
      case 2:
      case 3:
        ends.slave.publish();
        break;
      default:
        if (offer(ends.slave, next + 1, 1 + random() % 200)) outstanding.push_back(++next);
        break;
    }
  }
  while (!offer(ends.slave, 0)) {
    ends.slave.publish();
    read_outcomes();
    std::this_thread::yield();
  }
  ends.slave.publish();
  while (ended != outstanding.size()) {
    read_outcomes();
    std::this_thread::yield();
  }
  working.join();
  read_outcomes();

  CHECK(claimed == outstanding);
  std::vector<bool> seen(next + 1);
  for (const auto& list : {claimed, taken})
    for (const auto number : list) {
      REQUIRE(number <= next);
      REQUIRE_FALSE(seen[number]);
      seen[number] = true;
    }
  CHECK(claimed.size() + taken.size() == next);
  CHECK(claimed.size() > 1000);
  CHECK(taken.size() > 1000);
}

TEST_CASE("outcomes and values of a worker that died are still there") {
  SlaveEnd slave;
  slave.send_setup(bytes_of(std::string("setup")));
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(offer(slave, i));
  slave.publish();
  UniqueFd socket = slave.take_worker_socket();
  const pid_t child = ::fork();
  if (child == 0) {
    WorkerEnd worker(std::move(socket));
    for (std::uint64_t i = 1; i <= 2; ++i) {
      if (!worker.claim()) ::_exit(1);
      worker.begin(i);
      if (!worker.put(bytes_of(numbered(i)))) ::_exit(2);
      const auto value = SharedMemory::create("value", 8);
      if (!worker.send_value(i, value.fd())) ::_exit(3);
      worker.release_record();
      worker.end();
    }
    if (!worker.claim()) ::_exit(4);
    worker.begin(777);
    ::_exit(77);
  }
  socket.reset();
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WEXITSTATUS(status) == 77);
  CHECK_FALSE(slave.listen());
  CHECK(number_in(*slave.next_outcome()) == 1);
  CHECK(number_in(*slave.next_outcome()) == 2);
  CHECK_FALSE(slave.next_outcome());
  CHECK(slave.take_value(1));
  CHECK(slave.take_value(2));
  CHECK(slave.claimed() == 3);
  CHECK(slave.finished() == 2);
  CHECK(slave.started_at() == 777);
  CHECK(slave.take_back() == 0);
}
