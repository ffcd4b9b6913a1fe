#include "client/driver/upload_lane.h"

#include <kj/async-io.h>
#include <catch2/catch.hpp>

#include <string>
#include <vector>

using knee::driver::UploadLane;

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

struct Road {
  /// Takes a turn for `name`, and keeps it until `leave`.
  void come(char name, std::uint64_t bytes) {
    waiting.push_back({name, lane.take(bytes)
                                 .then([this, name](kj::Own<UploadLane::Turn> turn) {
                                   inside.push_back({name, kj::mv(turn)});
                                 })
                                 .eagerlyEvaluate(nullptr)});
  }
  void leave(char name) {
    std::erase_if(inside, [name](const auto& one) { return one.name == name; });
    std::erase_if(waiting, [name](const auto& one) { return one.name == name; });
  }
  std::string on_the_way() {
    io.waitScope.poll();
    std::string names;
    for (const auto& one : inside) names += one.name;
    return names;
  }

  struct Inside {
    char name;
    kj::Own<UploadLane::Turn> turn;
  };
  struct Waiting {
    char name;
    kj::Promise<void> promise;
  };
  kj::AsyncIoContext io = kj::setupAsyncIo();
  UploadLane lane;
  std::vector<Inside> inside;
  std::vector<Waiting> waiting;
};

}  // namespace

TEST_CASE("large uploads leave one after the other, in their order") {
  Road road;
  for (const char name : {'a', 'b', 'c'}) road.come(name, 100 * kMiB);
  CHECK(road.on_the_way() == "a");
  road.leave('a');
  CHECK(road.on_the_way() == "b");
  road.leave('b');
  CHECK(road.on_the_way() == "c");
  road.leave('c');
  road.come('d', 100 * kMiB);
  CHECK(road.on_the_way() == "d");
}

TEST_CASE("small uploads share the lane, and nobody is overtaken") {
  Road road;
  for (const char name : {'a', 'b', 'c', 'd', 'e'}) road.come(name, kMiB);
  CHECK(road.on_the_way() == "abcd");
  road.come('X', 100 * kMiB);
  road.come('f', kMiB);
  road.leave('a');
  CHECK(road.on_the_way() == "bcde");
  for (const char name : {'b', 'c', 'd'}) road.leave(name);
  CHECK(road.on_the_way() == "e");
  road.leave('e');
  CHECK(road.on_the_way() == "X");
  road.leave('X');
  CHECK(road.on_the_way() == "f");
}

TEST_CASE("an empty upload is let in, too") {
  Road road;
  road.come('a', 0);
  road.come('b', 0);
  CHECK(road.on_the_way() == "ab");
}

TEST_CASE("who gives up while it waits, or just as its turn comes, holds up nobody") {
  Road road;
  for (const char name : {'a', 'b', 'c', 'd'}) road.come(name, 100 * kMiB);
  CHECK(road.on_the_way() == "a");
  road.leave('b');
  road.leave('a');  // the turn is c's, who has not been told yet
  road.leave('c');
  CHECK(road.on_the_way() == "d");
}
