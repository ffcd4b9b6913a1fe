#include "slave/input_pins.h"

#include <kj/async-io.h>
#include <catch2/catch.hpp>

#include <chrono>
#include <string>

#include "tests/slave/store/store_fixture.h"

using namespace knee::slave;
using namespace knee::slave::test;

namespace {

struct Place {
  /// Lets the loop and the pool work until that many files are pinned.
  bool pinned(std::size_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < end) {
      disk.run([] {}).wait(io.waitScope);
      if (count_pins(folder.path()) == count) return true;
    }
    return false;
  }
  knee::Digest put_blob(const std::string& text) { return put(store, text).digest(); }
  void evict_all() { store.evict(kRoomy - kBlock); }

  TempFolder folder;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  BlobStore store{folder.path(), kRoomy};
  DiskPool disk;
  InputPins inputs{disk, store};
};

}  // namespace

TEST_CASE("what a command is to find is not evicted before it has ended") {
  Place place;
  const auto wanted = place.put_blob("wanted");
  const auto other = place.put_blob("other");
  auto hold = place.inputs.hold({wanted});
  REQUIRE(place.pinned(1));
  place.evict_all();
  CHECK(lacks(place.store, other));
  CHECK_FALSE(lacks(place.store, wanted));
  hold.clear();
  REQUIRE(place.pinned(0));
  place.store.evict(kRoomy);
  CHECK(lacks(place.store, wanted));
}

TEST_CASE("commands share the hold on a file, and the last one lets go") {
  Place place;
  const auto wanted = place.put_blob("wanted");
  auto first = place.inputs.hold({wanted});
  auto second = place.inputs.hold({wanted, wanted});
  CHECK(first[0] == second[0]);
  CHECK(first[0] == second[1]);
  REQUIRE(place.pinned(1));
  first.clear();
  place.evict_all();
  CHECK_FALSE(lacks(place.store, wanted));
  second.clear();
  REQUIRE(place.pinned(0));
  // Held again, it is pinned again.
  const auto third = place.inputs.hold({wanted});
  CHECK(place.pinned(1));
}

TEST_CASE("a hold on a file that is not there harms nobody, nor does one that ends at once") {
  Place place;
  place.inputs.hold({digest_of_text("absent")});
  for (int i = 0; i < 100; ++i) place.inputs.hold({place.put_blob("some " + std::to_string(i))});
  CHECK(place.pinned(0));
}

TEST_CASE("holds that outlive their pins' maker let go, too") {
  Place place;
  InputHolds hold;
  {
    InputPins inputs(place.disk, place.store);
    hold = inputs.hold({place.put_blob("wanted")});
  }
  REQUIRE(place.pinned(1));
  hold.clear();
  CHECK(place.pinned(0));
}
