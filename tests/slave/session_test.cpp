#include "tests/slave/session_fixture.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

using namespace knee;
using namespace knee::slave;
using namespace knee::slave::test;

TEST_CASE("a session's tasks run in their order, and its updates are numbered") {
  Place place;
  auto& session = place.open();
  CHECK(place.told(session).number == 1);  // the slots it may have
  place.send(session, {.tasks = {1, 2, 3}});
  REQUIRE(place.workers() == 1);
  CHECK(place.busy() == 1);
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);
  worker.finish();
  const auto first = place.told(session);
  CHECK(first.values == Ids{1});
  CHECK(first.number == 2);
  CHECK(place.run_all(worker) == Ids{2, 3});
  const auto second = place.told(session);
  CHECK(second.values == Ids{2, 3});
  CHECK(second.number == 3);
  CHECK(place.busy() == 0);
  CHECK_FALSE(session.busy());
  // The next ones take the worker that is there.
  place.send(session, {.tasks = {4}});
  CHECK(place.workers() == 1);
  CHECK(place.run_all(worker) == Ids{4});
}

TEST_CASE("one worker per slot, and no more") {
  Place place(2);
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3, 4}});
  CHECK(place.workers() == 2);
  CHECK(place.busy() == 2);
}

TEST_CASE("tasks that wait are shared out evenly among the workers") {
  Place place(2);
  auto& session = place.open();
  Ids all(20);
  std::iota(all.begin(), all.end(), 1);
  place.send(session, {.tasks = all});
  REQUIRE(place.workers() == 2);
  place.ready(0);
  place.ready(1);
  // The slave does not hear of any end before it is let.
  const auto given = [&](std::size_t index) {
    int tasks = 0;
    for (; place.worker(index).begin(); ++tasks) place.worker(index).finish();
    return tasks;
  };
  CHECK(given(0) == 10);
  CHECK(given(1) == 10);
  CHECK(place.told(session).values.size() == all.size());
}

TEST_CASE("a task that wants more slots than there are is refused") {
  Place place(2);
  auto& session = place.open();
  place.send(session, {.tasks = {1}, .cores = 3});
  CHECK(place.told(session).refused == Ids{1});
  CHECK(place.workers() == 0);
}

TEST_CASE("a task that wants more slots than its session may have is refused, too") {
  Place place(4);
  auto& session = place.open("you", 2);
  place.send(session, {.tasks = {1}, .cores = 3});
  CHECK(place.told(session).refused == Ids{1});
  place.send(session, {.tasks = {2}, .cores = 2});
  CHECK(place.workers() == 1);
}

TEST_CASE("tasks are taken back youngest first, but for those that have begun") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3, 4}});
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);
  place.send(session, {.take_back = 2});
  const auto some = place.told(session);
  CHECK(some.not_started == Ids{4, 3});
  CHECK(some.take_back_answered);
  place.send(session, {.take_back = 10});
  const auto rest = place.told(session);
  CHECK(rest.not_started == Ids{2});
  CHECK(rest.take_back_answered);
  worker.finish();
  CHECK(place.told(session).values == Ids{1});
  CHECK_FALSE(worker.begin());
}

TEST_CASE("a worker that reads nothing while it starts does not keep the slave busy for ever") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1}, .large = true});
  REQUIRE(place.workers() == 1);
  // Each of these takes its task back from the worker and gives it again, with its value: until
  // the worker's socket is full.
  for (int i = 0; i < 2000; ++i) place.send(session, {.cancel = {99}});
  auto& worker = place.ready(0);
  worker.drop_values();
  std::optional<std::uint64_t> begun;
  REQUIRE(place.wait_until([&] { return begun || (begun = worker.begin()); }));
  CHECK(begun == 1U);
  worker.finish();
  CHECK(place.told(session).values == Ids{1});
  CHECK(place.busy() == 0);
}

TEST_CASE("a take-back of nothing is answered, too") {
  Place place;
  auto& session = place.open();
  place.told(session);
  place.send(session, {.take_back = 5});
  CHECK(place.told(session).take_back_answered);
}

TEST_CASE(
    "a waiting task is cancelled at once, a running one is told, and killed after its grace") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3}});
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);
  place.send(session, {.cancel = {2, 99}, .grace = 1'000'000'000'000});
  CHECK(place.told(session).cancelled == Ids{2});
  CHECK_FALSE(worker.told_to_stop());
  place.send(session, {.cancel = {1}, .grace = 0});
  CHECK(worker.told_to_stop());
  REQUIRE(place.wait_until([&] { return worker.is_wanted_dead(); }));
  worker.die_of(SIGKILL);
  CHECK(place.told(session).cancelled == Ids{1});
  // The third one has lost nothing.
  REQUIRE(place.workers() == 2);
  CHECK(place.run_all(place.ready(1)) == Ids{3});
  CHECK(place.told(session).values == Ids{3});
}

TEST_CASE("a cancelled task that ends in time keeps its worker and its result") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2}});
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);
  place.send(session, {.cancel = {1}, .grace = 1'000'000'000'000});
  CHECK(worker.told_to_stop());
  worker.finish();
  CHECK(place.told(session).values == Ids{1});
  CHECK(place.run_all(worker) == Ids{2});
  CHECK_FALSE(worker.is_wanted_dead());
}

TEST_CASE("a task over its time is killed and said to be, and the next one runs elsewhere") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2}, .timeout = 1'000'000});
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);
  REQUIRE(place.wait_until([&] { return worker.is_wanted_dead(); }));
  worker.die_of(SIGKILL);
  CHECK(place.told(session).timed_out == Ids{1});
  REQUIRE(place.workers() == 2);
  CHECK(place.run_all(place.ready(1)) == Ids{2});
}

TEST_CASE("a task that has ended in time is not killed while its outcome waits for room") {
  Place place(2);
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2}, .timeout = 20'000'000});
  auto& waits = place.ready(0);
  auto& spins = place.ready(1);
  REQUIRE(waits.begin() == 1);
  waits.wait_for_room();
  // Begun later, so it is over its time later.
  REQUIRE(spins.begin() == 2);
  REQUIRE(place.wait_until([&] { return spins.is_wanted_dead(); }));
  CHECK_FALSE(waits.is_wanted_dead());
  waits.finish();
  spins.die_of(SIGKILL);
  const auto told = place.told(session);
  CHECK(told.values == Ids{1});
  CHECK(told.timed_out == Ids{2});
}

TEST_CASE("what a worker has begun is not begun again when its outcomes cannot be read") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3}});
  auto& worker = place.ready(0);
  REQUIRE(worker.begin() == 1);
  worker.finish_without_value();
  SECTION("the next one had begun") {
    REQUIRE(worker.begin() == 2);
    REQUIRE(place.wait_until([&] { return worker.is_wanted_dead(); }));
    worker.die_of(SIGKILL);
    place.settle();
    CHECK(place.told(session).crashed == Ids{1, 2});
    CHECK(place.run_all(place.ready(1)) == Ids{3});
  }
  SECTION("it was between two tasks") {
    REQUIRE(place.wait_until([&] { return worker.is_wanted_dead(); }));
    worker.die_of(SIGKILL);
    place.settle();
    CHECK(place.told(session).crashed == Ids{1});
    CHECK(place.run_all(place.ready(1)) == Ids{2, 3});
  }
}

TEST_CASE("a death costs the task that had begun, not those behind it nor those before") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3}});
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);
  worker.finish();
  CHECK(worker.begin() == 2U);
  worker.die_of(SIGSEGV);
  const auto told = place.told(session);
  CHECK(told.values == Ids{1});
  CHECK(told.crashed == Ids{2});
  REQUIRE(place.workers() == 2);
  CHECK(place.run_all(place.ready(1)) == Ids{3});
  CHECK(place.told(session).values == Ids{3});
}

TEST_CASE("a program whose workers die before they serve is given up after three") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2}});
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(place.workers() == i + 1);
    place.worker(i).die_of(SIGILL);
    place.settle();
  }
  CHECK(place.told(session).refused == Ids{1, 2});
  CHECK(place.workers() == 3);
  CHECK(place.busy() == 0);
}

TEST_CASE("a program that has ended before the slave looks at it is given up, too, and named") {
  Place place;
  auto& session = place.open();
  place.keepers.ends_at_once = true;
  place.send(session, {.tasks = {1, 2}});
  const auto told = place.told(session);
  CHECK(told.refused == Ids{1, 2});
  REQUIRE(told.notes.size() == 3);
  CHECK_THAT(told.notes[0], Catch::Matchers::StartsWith("a worker ended before it served:"));
  CHECK(place.workers() == 3);
  CHECK(place.busy() == 0);
  CHECK(place.wait_until([&] { return place.working_folders() == 0; }));
}

TEST_CASE("a worker that writes nonsense before it serves is not started over and over") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1}});
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(place.workers() == i + 1);
    place.worker(i).say_nonsense();
    REQUIRE(place.wait_until([&] { return place.worker(i).is_wanted_dead(); }));
    place.worker(i).die_of(SIGKILL);
    place.settle();
  }
  CHECK(place.told(session).refused == Ids{1});
  CHECK(place.workers() == 3);
}

TEST_CASE("a worker that does not read while it is idle leaves the tasks to another") {
  Place place(2);
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2}});
  REQUIRE(place.workers() == 2);
  auto& reads_not = place.ready(0);
  auto& reads = place.ready(1);
  CHECK(place.run_all(reads_not) == Ids{1});
  CHECK(place.run_all(reads) == Ids{2});
  // Given and taken back, again and again, until the first one's socket is full.
  place.send(session, {.tasks = {3}, .large = true});
  for (int i = 0; i < 2000; ++i) {
    place.send(session, {.cancel = {99}});
    reads.drop_values();
  }
  CHECK(place.run_all(reads) == Ids{3});
  CHECK(place.told(session).values == Ids{1, 2, 3});
}

TEST_CASE("a machine that has no more processes refuses the task and keeps no folder") {
  Place place;
  auto& session = place.open();
  place.keepers.refuses = true;
  place.send(session, {.tasks = {1}});
  CHECK(place.told(session).refused == Ids{1});
  CHECK(place.busy() == 0);
  CHECK(place.wait_until([&] { return place.working_folders() == 0; }));
}

TEST_CASE("a worker's folder goes with it") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1}});
  CHECK(place.working_folders() == 1);
  place.ready(0).die_of(SIGKILL);
  place.keepers.refuses = true;
  place.settle();
  CHECK(place.wait_until([&] { return place.working_folders() == 0; }));
}

TEST_CASE("a worker that is let go of before it was ready gives its tasks to the next") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1}});
  place.worker(0).die_of(SIGKILL);
  place.settle();
  REQUIRE(place.workers() == 2);
  CHECK(place.run_all(place.ready(1)) == Ids{1});
  CHECK(place.told(session).values == Ids{1});
}

TEST_CASE("a driver that vanishes frees its slots, whatever its tasks were doing") {
  Place place;
  auto& goes = place.open("goes");
  auto& stays = place.open("stays");
  const auto when = GENERATE(0, 1, 2, 3);
  CAPTURE(when);
  place.send(goes, {.tasks = {1, 2}});
  REQUIRE(place.workers() == 1);
  if (when >= 1) place.ready(0);
  if (when >= 2) CHECK(place.worker(0).begin() == 1U);
  place.send(stays, {.tasks = {7}});
  if (when >= 3) place.worker(0).finish();  // nobody has heard of it
  place.close(goes);
  CHECK(place.worker(0).is_wanted_dead());
  REQUIRE(place.workers() == 2);
  CHECK(place.run_all(place.ready(1)) == Ids{7});
  CHECK(place.told(stays).values == Ids{7});
  CHECK(place.busy() == 0);
}

TEST_CASE("a driver that vanishes while it has nothing here takes nothing along") {
  Place place;
  auto& goes = place.open("goes");
  auto& stays = place.open("stays");
  place.send(goes, {.tasks = {1}});
  place.run_all(place.ready(0));
  place.send(stays, {.tasks = {7}});
  REQUIRE(place.workers() == 2);
  place.close(goes);
  CHECK(place.worker(0).is_wanted_dead());
  CHECK_FALSE(place.worker(1).is_wanted_dead());
  CHECK(place.run_all(place.ready(1)) == Ids{7});
}

TEST_CASE("a session that drains gives back what has not begun, and lets the rest end") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3}});
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);
  session.drain();
  const auto told = place.told(session);
  CHECK(told.draining);
  CHECK(told.not_started == Ids{2, 3});
  place.send(session, {.tasks = {4}});
  CHECK(place.told(session).not_started == Ids{4});
  CHECK(session.busy());
  worker.finish();
  CHECK(place.told(session).values == Ids{1});
  CHECK_FALSE(session.busy());
}

TEST_CASE("a queued command's input stays in the store until the command goes back") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1}});
  CHECK(place.ready(0).begin() == 1U);
  const Digest input = slave::test::put(place.store, "an input").digest();
  const Digest other = slave::test::put(place.store, "of nobody").digest();
  capnp::MallocMessageBuilder message;
  auto task = message.initRoot<proto::Work>().initTasks(1)[0];
  task.setId(2);
  task.initCommand().initInputs(1)[0].setDigest(
      {reinterpret_cast<const kj::byte*>(input.bytes.data()), input.bytes.size()});
  session.accept(message.getRoot<proto::Work>().asReader(), {});
  const auto pins = [&] { return slave::test::count_pins(place.folder / "store"); };
  REQUIRE(place.wait_until([&] { return pins() == 1; }));
  place.store.evict(slave::test::kRoomy - slave::test::kBlock);
  CHECK(slave::test::lacks(place.store, other));
  CHECK_FALSE(slave::test::lacks(place.store, input));
  place.send(session, {.take_back = 1});
  CHECK(place.told(session).not_started == Ids{2});
  CHECK(place.wait_until([&] { return pins() == 0; }));
}

TEST_CASE("memory of results that were delivered is lent for the next ones, and freed soon") {
  constexpr std::size_t kLarge = 1'000'000;
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1}});
  auto& worker = place.ready(0);
  const auto run_large = [&] {
    REQUIRE(worker.begin());
    auto memory = worker.finish_large(kLarge);
    place.settle();
    return memory;
  };
  const auto deliver = [&](std::uint64_t id) {
    auto value = session.values().take_result(id);
    REQUIRE(value);
    auto& memory = std::get<channel::SharedMemory>(*value);
    CHECK(memory.bytes().size() == kLarge);
    session.values().reuse(std::move(memory));
  };
  const auto first = run_large();
  deliver(1);
  place.send(session, {.tasks = {2}});
  const auto second = run_large();
  CHECK(channel::is_same(second.get(), first.get()));
  // Not delivered yet: the next one must not be written over it.
  place.send(session, {.tasks = {3}});
  const auto third = run_large();
  CHECK_FALSE(channel::is_same(third.get(), second.get()));
  deliver(2);
  deliver(3);
  CHECK(session.values().spare_results().bytes() >= 2 * kLarge);
  // A task that makes nothing large gives back what it was lent.
  place.send(session, {.tasks = {4}});
  CHECK(place.run_all(worker) == Ids{4});
  CHECK(session.values().spare_results().bytes() >= 2 * kLarge);
  CHECK(place.wait_until([&] { return session.values().spare_results().empty(); }));
}

TEST_CASE("a task whose argument did not arrive is refused") {
  Place place;
  auto& session = place.open();
  session.values().put_argument(8, session.values().room_for_argument(100'000));
  capnp::MallocMessageBuilder message;
  auto tasks = message.initRoot<proto::Work>().initTasks(3);
  for (unsigned i = 0; i < 3; ++i) {
    tasks[i].setId(7 + i);
    tasks[i].initArguments().setValue(7 + i);
    tasks[i].getArguments().setSize(100'000);
  }
  session.values().put_argument(9, session.values().room_for_argument(99'999));
  session.accept(message.getRoot<proto::Work>().asReader(), {});
  CHECK(place.told(session).refused == Ids{7, 9});
  CHECK(place.run_all(place.ready(0)) == Ids{8});
}

TEST_CASE("results nobody fetches stay with the worker, until they are fetched") {
  Place place;
  auto& session = place.open();
  Ids many;
  for (std::uint64_t id = 1; id <= 200; ++id) many.push_back(id);
  place.send(session, {.tasks = many});
  auto& worker = place.ready(0);
  const std::string large(40'000, 'v');
  constexpr std::size_t kEnough = 4 * 1024 * 1024;
  std::size_t ended = 0;
  const auto run_one = [&] {
    REQUIRE(worker.begin());
    worker.finish(large);
    place.settle();
    ++ended;
  };
  while (session.outbox().bytes() < kEnough) run_one();
  const auto full = session.outbox().bytes();
  run_one();
  CHECK(session.outbox().bytes() == full);
  CHECK(place.told(session).values.size() == ended);
  CHECK(session.outbox().bytes() == 0);
}
