// Tasks that a callback waits for start beside the slots.
#include <signal.h>

#include <chrono>

#include "tests/slave/session_fixture.h"

using namespace knee::slave::test;

TEST_CASE("a task that is awaited starts beside the slots when none is free, before the others") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3}});
  auto& worker = place.ready(0);
  CHECK(worker.begin() == 1U);  // which waits for 3
  place.send(session, {.awaited = {3, 99}});
  REQUIRE(place.workers() == 2);
  auto& beside = place.ready(1);
  CHECK(beside.begin() == 3U);
  CHECK(place.busy() == 1);
  beside.finish();
  CHECK(place.told(session).values == Ids{3});
  CHECK_FALSE(beside.begin());
  CHECK(place.busy() == 1);
  worker.finish();
  CHECK(place.told(session).values == Ids{1});
  CHECK(place.run_all(worker) == Ids{2});
  CHECK(place.told(session).values == Ids{2});
  CHECK(place.busy() == 0);
  // The next one that is awaited takes the worker that is there.
  place.send(session, {.tasks = {4, 5}});
  REQUIRE(place.workers() == 2);
  auto& first = worker.begin() == 4U ? worker : beside;
  auto& second = &first == &worker ? beside : worker;
  if (&first == &beside) CHECK(beside.begin() == 4U);
  place.send(session, {.awaited = {5}});
  CHECK(place.workers() == 2);
  CHECK(second.begin() == 5U);
  second.finish();
  first.finish();
  CHECK(place.told(session).values == Ids{5, 4});
  CHECK(place.busy() == 0);
  CHECK_FALSE(session.busy());
}

TEST_CASE("a task that is awaited takes a slot if one is free") {
  Place place(2);
  auto& session = place.open();
  place.send(session, {.tasks = {1}});
  place.ready(0).begin();
  place.send(session, {.tasks = {2}, .awaited = {2}});
  REQUIRE(place.workers() == 2);
  CHECK(place.busy() == 2);
  CHECK(place.ready(1).begin() == 2U);
  place.send(session, {.awaited = {1, 2}});  // they run
  CHECK(place.workers() == 2);
}

TEST_CASE("a task that is awaited stays beside the slots when another driver wants some") {
  Place place;
  auto& mine = place.open("you");
  auto& other = place.open("somebody else");
  place.send(mine, {.tasks = {1, 2}});
  CHECK(place.ready(0).begin() == 1U);
  place.send(other, {.tasks = {9}});
  const auto then = std::chrono::steady_clock::now();
  REQUIRE(place.wait_until(
      [&] { return std::chrono::steady_clock::now() - then > std::chrono::milliseconds(50); }));
  place.send(mine, {.awaited = {2}});
  REQUIRE(place.workers() == 2);
  CHECK(place.ready(1).begin() == 2U);
  CHECK(place.busy() == 1);
}

TEST_CASE("a task that is awaited and comes back from its worker is started again at once") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2, 3}});
  CHECK(place.ready(0).begin() == 1U);
  place.send(session, {.awaited = {2}});
  REQUIRE(place.workers() == 2);
  place.send(session, {.cancel = {99}});  // takes back what has not begun
  CHECK(place.ready(1).begin() == 2U);
  place.worker(1).finish();
  CHECK(place.told(session).values == Ids{2});
  place.send(session, {.awaited = {3}});
  CHECK(place.worker(1).begin() == 3U);
}

TEST_CASE("a worker that dies beside the slots frees none") {
  Place place;
  auto& session = place.open();
  place.send(session, {.tasks = {1, 2}});
  CHECK(place.ready(0).begin() == 1U);
  place.send(session, {.awaited = {2}});
  CHECK(place.ready(1).begin() == 2U);
  place.worker(1).die_of(SIGSEGV);
  CHECK(place.told(session).crashed == Ids{2});
  CHECK(place.busy() == 1);
  place.worker(0).finish();
  CHECK(place.told(session).values == Ids{1});
  CHECK(place.busy() == 0);
}
