#include "client/driver/bag_state.h"

#include <knee/error.h>

#include <catch2/catch.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace knee;
using namespace std::chrono_literals;
using detail::BagState;
using driver::BagTally;

namespace {

struct Fixture {
  ~Fixture() { bag->drop_reference(); }
  BagState* bag = new BagState(BagOptions{.name = "bag"});
};

std::exception_ptr error(const char* text) {
  return std::make_exception_ptr(
      Error(Error::Kind::crashed, text, {"gandalf", "bag: f", 2}, "type", "text"));
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a bag without tasks is idle") {
  CHECK(bag->wait_for(0ms));
}

TEST_CASE_METHOD(Fixture, "a bag is idle when all that began has ended") {
  for (int i = 0; i < 3; ++i) bag->begin();
  CHECK_FALSE(bag->wait_for(0ms));
  bag->end(2);
  CHECK_FALSE(bag->wait_for(0ms));
  bag->end(1);
  CHECK(bag->wait_for(0ms));
}

TEST_CASE_METHOD(Fixture, "a waiter is woken by the last end, from whatever thread") {
  for (int round = 0; round < 500; ++round) {
    for (int i = 0; i < 4; ++i) bag->begin();
    std::vector<std::thread> ending;
    for (int i = 0; i < 4; ++i) ending.emplace_back([this] { bag->end(1); });
    REQUIRE(bag->wait_for(60s));
    for (auto& thread : ending) thread.join();
  }
}

TEST_CASE_METHOD(Fixture, "one failure is thrown as it is, and forgotten") {
  CHECK_NOTHROW(bag->rethrow());
  bag->fail(error("it crashed"));
  CHECK_THROWS_WITH(bag->rethrow(), "it crashed");
  CHECK_NOTHROW(bag->rethrow());
}

TEST_CASE_METHOD(Fixture, "of several failures the first is thrown, and the others are counted") {
  const auto [count, text] =
      GENERATE(table<int, const char*>({{2, "first\n(and 1 more failure in this bag)"},
                                        {4, "first\n(and 3 more failures in this bag)"}}));
  bag->fail(error("first"));
  for (int i = 1; i < count; ++i) bag->fail(error("another"));
  try {
    bag->rethrow();
    FAIL("nothing was thrown");
  } catch (const Error& thrown) {
    CHECK(std::string(thrown.what()) == text);
    CHECK(thrown.kind() == Error::Kind::crashed);
    CHECK(thrown.slave() == "gandalf");
    CHECK(thrown.task() == "bag: f");
    CHECK(thrown.attempt() == 2);
    CHECK(thrown.exception_type() == "type");
    CHECK(thrown.exception_text() == "text");
  }
  CHECK_NOTHROW(bag->rethrow());
}

TEST_CASE_METHOD(Fixture, "an exception out of a callback keeps its type among others") {
  bag->fail(std::make_exception_ptr(std::out_of_range("mine")));
  bag->fail(error("another"));
  CHECK_THROWS_AS(bag->rethrow(), std::out_of_range);
}

TEST_CASE("a tally adds up the ends of a run of tasks and keeps its bag alive") {
  auto* one = new BagState(BagOptions{});
  auto* other = new BagState(BagOptions{});
  for (int i = 0; i < 5; ++i) one->begin();
  other->begin();
  {
    BagTally tally;
    for (int i = 0; i < 4; ++i) tally.ended(one, i == 3);
    CHECK(one->done == 0);  // not yet
    tally.ended(nullptr, true);
    CHECK(one->done == 3);
    CHECK(one->failed == 1);
    CHECK(one->outstanding == 1);
    tally.ended(other, false);
    tally.ended(one, false);
    CHECK(other->done == 1);
    tally.flush();
    CHECK(one->done == 4);
    CHECK(one->outstanding == 0);
    tally.flush();
    CHECK(one->done == 4);
  }
  one->drop_reference();
  other->drop_reference();
}
