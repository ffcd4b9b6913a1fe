#include <unistd.h>
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "tests/system/live_objects.h"

using namespace knee::test;

// An object that comes back from where it was lent is called before the answer is there.

namespace {

constexpr int kTimes = 100;

/// Gives its own object away and takes it back.
struct Boomerang {
  int throw_to(const knee::Ref<Shelf>& shelf) {
    const auto own = knee::make_ref<Counter>(0);
    for (int i = 0; i < kTimes; ++i) shelf.call<&Shelf::same>(own).call<kAddNumber>(1).get();
    return own.call<&Counter::current>().get();
  }
};

int add_often(const knee::Ref<Shelf>& shelf, const knee::Ref<Counter>& counter) {
  for (int i = 0; i < kTimes; ++i) shelf.call<&Shelf::same>(counter).call<kAddNumber>(1).get();
  return counter.call<&Counter::current>().get();
}

/// Gives back what functions give it, or lend it meanwhile.
struct Fetcher {
  knee::Ref<Counter> fetch(const knee::Function<knee::Ref<Counter>()>& give) { return give(); }
  void keep(const knee::Ref<Counter>& counter) { kept = counter; }
  knee::Ref<Counter> fetch_kept(const knee::Function<void()>& lend) {
    lend();
    return kept;
  }
  knee::Ref<Counter> kept{};
};

/// All are sent before the first is answered. In a fresh cluster: a later one knows what was lent.
template <class Call>
void add_at_once(const Call& call) {
  std::vector<knee::Promise<int>> all;
  for (int i = 0; i < 20; ++i) all.push_back(call());
  for (auto& one : all) one.get();
}

}  // namespace

TEST_CASE("what the driver offered can be called as soon as a method gives it back") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto own = cluster.offer(std::make_shared<Counter>(0));
    const auto shelf = gandalf.make<Shelf>();
    CHECK(add_often(shelf, own) == kTimes);
  });
}

TEST_CASE("an object of another slave can be called as soon as a method gives it back") {
  SlaveProcess gandalf;
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto counter = cluster.slave("frodo").make<Counter>(0);
  CHECK(add_often(cluster.slave("gandalf").make<Shelf>(), counter) == kTimes);
}

TEST_CASE("an object of another process can be called as soon as a method gives it back") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto counter = gandalf.make<Counter>(knee::Placement::own(), 0);
    CHECK(add_often(gandalf.make<Shelf>(), counter) == kTimes);
  });
}

TEST_CASE("an object's own object can be called as soon as the driver's gives it back") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto shelf = cluster.offer(std::make_shared<Shelf>());
    const auto boomerang = gandalf.make<Boomerang>();
    CHECK(boomerang.call<&Boomerang::throw_to>(shelf).get() == kTimes);
  });
}

TEST_CASE("an object's own object can be called as soon as another process's gives it back") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto shelf = gandalf.make<Shelf>(knee::Placement::own());
    const auto boomerang = gandalf.make<Boomerang>();
    CHECK(boomerang.call<&Boomerang::throw_to>(shelf).get() == kTimes);
  });
}

TEST_CASE("what a function gives a method can be called as soon as that gives it back") {
  SlaveProcess gandalf;
  SlaveProcess frodo({.name = "frodo"});
  for (const bool is_own : {true, false}) {
    knee::Cluster cluster(reaching({&gandalf, &frodo}));
    const auto counter = is_own ? cluster.offer(std::make_shared<Counter>(0))
                                : cluster.slave("frodo").make<Counter>(0);
    const auto fetcher = cluster.slave("gandalf").make<Fetcher>();
    add_at_once(
        [&] { return fetcher.call<&Fetcher::fetch>([&] { return counter; }).call<kAddNumber>(1); });
    CHECK(counter.call<&Counter::current>().get() == 20);
  }
}

TEST_CASE("what a function lends can be called as soon as the method gives it back") {
  SlaveProcess gandalf;
  knee::Cluster cluster(reaching(gandalf));
  const auto own = cluster.offer(std::make_shared<Counter>(0));
  const auto fetcher = cluster.slave("gandalf").make<Fetcher>();
  add_at_once([&] {
    return fetcher.call<&Fetcher::fetch_kept>([&] { fetcher.call<&Fetcher::keep>(own).get(); })
        .call<kAddNumber>(1);
  });
  CHECK(own.call<&Counter::current>().get() == 20);
}

TEST_CASE("a task calls what a method gives back as soon as it does") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto own = cluster.offer(std::make_shared<Counter>(0));
    CHECK(cluster.call<add_often>(gandalf.make<Shelf>(), own).get() == kTimes);
    const auto there = gandalf.make<Counter>(0);
    CHECK(cluster.call<add_often>(cluster.offer(std::make_shared<Shelf>()), there).get() == kTimes);
  });
}
