#include <signal.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/live_objects.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

/// Leaves a mark when it ends.
struct Guard {
  explicit Guard(std::string mark) : file(std::move(mark)) {}
  Guard(const Guard&) = delete;
  ~Guard() { leave_mark(file, "ended"); }
  std::string file;
};

/// Can be made once.
struct Once {
  explicit Once(std::string mark) {
    if (!marks_in(mark).empty()) throw std::runtime_error("it was made twice");
    leave_mark(std::move(mark), "made");
  }
  void look() const {}
  void die() { ::raise(SIGKILL); }
};

struct Witness {
  bool knows() const { return true; }
  std::string see(const knee::Ref<Once>& once) {
    try {
      once.call<&Once::look>().get();
    } catch (const Error& error) {
      return error.what();
    }
    return "it is there";
  }
};

}  // namespace

TEST_CASE("an object is destroyed when the last reference to it is gone") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const TemporaryFolder folder;
    auto guard = std::make_unique<knee::Ref<Guard>>(gandalf.make<Guard>(folder / "ended"));
    const auto copy = std::make_unique<knee::Ref<Guard>>(*guard);
    guard->wait();
    guard.reset();
    CHECK(gandalf.objects() == 1);
    CHECK(marks_in(folder / "ended").empty());
    *copy = {};
    CHECK(gandalf.objects() == 0);
    CHECK(marks_in(folder / "ended").size() == 1);
  });
}

TEST_CASE("after many makes and drops no object is left") {
  const int many = kTimeSlack == 1 ? 100'000 : 10'000;
  with_a_slave([&](knee::Cluster&, const knee::Slave& gandalf) {
    for (int i = 0; i < many; ++i) {
      const auto counter = gandalf.make<Counter>(i);
      if (i % 1000 == 0) counter.wait();
    }
    CHECK(wait_until([&] { return gandalf.objects() == 0; }));
  });
}

TEST_CASE("objects may be made, called and dropped one after the other") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    // The thread that waits runs the loop, and what is dropped meanwhile with it.
    for (int i = 0; i < 500; ++i)
      REQUIRE(gandalf.make<Counter>(i).call<&Counter::current>().get() == i);
    CHECK(gandalf.objects() == 0);
  });
}

TEST_CASE("ten thousand objects live at a time") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    std::vector<knee::Ref<Counter>> counters;
    for (int i = 0; i < 10'000; ++i) counters.push_back(gandalf.make<Counter>(i));
    CHECK(counters.back().call<&Counter::current>().get() == 9999);
    CHECK(gandalf.objects() == 10'000);
    counters.clear();
    CHECK(gandalf.objects() == 0);
  });
}

TEST_CASE("the process that a cluster's objects live in ends with the cluster") {
  SlaveProcess gandalf;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    const auto counter = cluster.slave("gandalf").make<Counter>(1);
    counter.wait();
    CHECK_FALSE(gandalf.family().empty());
  }
  CHECK(wait_until([&] { return gandalf.family().empty(); }));
  CHECK(leaks.found() == "");
}

TEST_CASE("when its process dies every reference into it fails with what is known of the death") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const TemporaryFolder folder;
    const auto one = gandalf.make<Counter>(1);
    const auto other = gandalf.make<Counter>(2);
    const int process = one.call<&Counter::process>().get();
    CHECK(other.call<&Counter::process>().get() == process);
    auto running = one.call<&Counter::hang>(folder / "started");
    auto waiting = other.call<&Counter::current>();
    wait_for_marks(folder / "started");
    REQUIRE(::kill(process, SIGKILL) == 0);
    for (const auto& error : {error_of(std::move(running)), error_of(std::move(waiting)),
                              error_of(one.call<&Counter::current>())}) {
      CHECK(error.kind() == Error::Kind::crashed);
      CHECK(error.slave() == "gandalf");
      CHECK_THAT(error.what(), Contains("SIGKILL"));
    }
    // Nothing is made again silently, but there may be new objects.
    CHECK(gandalf.make<Counter>(5).call<&Counter::current>().get() == 5);
    CHECK(error_of(other.call<&Counter::current>()).kind() == Error::Kind::crashed);
  });
}

TEST_CASE("a method that ends its process says with which exit code, to all references into it") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto one = gandalf.make<Counter>(1);
    const auto other = gandalf.make<Counter>(2);
    for (const auto& error :
         {error_of(one.call<&Counter::leave>(3)), error_of(other.call<&Counter::current>())}) {
      CHECK(error.kind() == Error::Kind::exited);
      CHECK_THAT(error.what(), Contains("exited with code 3"));
    }
  });
}

TEST_CASE("a reference that a task holds fails with what is known of the death, too") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto counter = gandalf.make<Counter>(1);
    const auto text_of_crash = [](const knee::Ref<Counter>& held) -> std::string {
      try {
        held.call<&Counter::die>().get();
      } catch (const Error& error) {
        if (error.kind() == Error::Kind::crashed) return error.what();
      }
      return "";
    };
    CHECK_THAT(cluster.call(text_of_crash, counter).get(), Contains("SIGKILL"));
    CHECK_THAT(cluster.call(text_of_crash, counter).get(), Contains("SIGKILL"));
  });
}

TEST_CASE("a reference that came with a callback fails with what is known of the death, too") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto folder = gandalf.make<Folder>("home");
    const auto counter = gandalf.make<Counter>(1);
    knee::Ref<Folder> kept;
    folder.call<&Folder::show>([&](const knee::Ref<Folder>& shown) { kept = shown; }).get();
    CHECK(kept.get<&Folder::name>().get() == "home");
    CHECK(error_of(counter.call<&Counter::die>()).kind() == Error::Kind::crashed);
    const auto error = error_of(kept.get<&Folder::name>());
    CHECK(error.kind() == Error::Kind::crashed);
    CHECK(error.slave() == "gandalf");
    CHECK_THAT(error.what(), Contains("SIGKILL"));
  });
}

TEST_CASE("a reference that an object of another process gave says how its own process died") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto counter = gandalf.make<Counter>(knee::Placement::own(), 1);
    const auto shelf = gandalf.make<Shelf>();
    const auto again = shelf.call<&Shelf::same>(counter);
    CHECK(again.call<&Counter::current>().get() == 1);
    CHECK(error_of(counter.call<&Counter::die>()).kind() == Error::Kind::crashed);
    const auto error = error_of(again.call<&Counter::current>());
    CHECK(error.kind() == Error::Kind::crashed);
    CHECK_THAT(error.what(), Contains("SIGKILL"));
    // The object that gave it lives, and learns the same.
    CHECK(shelf.call<&Shelf::kind_of_failure>(counter).get() ==
          static_cast<int>(Error::Kind::crashed));
  });
}

TEST_CASE("a reference that a task gave back says how its process died") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto counter = gandalf.make<Counter>(knee::Placement::own(), 1);
    knee::Ref<Counter> again;
    const auto give = [](const knee::Ref<Counter>& held,
                         const knee::Function<void(knee::Ref<Counter>)>& back) { back(held); };
    cluster.call(give, counter, [&](const knee::Ref<Counter>& came) { again = came; }).get();
    CHECK(again.call<&Counter::current>().get() == 1);
    CHECK(error_of(counter.call<&Counter::die>()).kind() == Error::Kind::crashed);
    const auto error = error_of(again.call<&Counter::current>());
    CHECK(error.kind() == Error::Kind::crashed);
    CHECK_THAT(error.what(), Contains("SIGKILL"));
  });
}

TEST_CASE("a reference to another slave's object fails when that is lost, not the one it came by") {
  SlaveProcess gandalf;
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto counter = cluster.slave("frodo").make<Counter>(1);
  const auto shelf = cluster.slave("gandalf").make<Shelf>();
  const auto again = shelf.call<&Shelf::same>(counter);
  CHECK(again.call<&Counter::current>().get() == 1);
  frodo.kill();
  const auto error = error_of(again.call<&Counter::current>());
  CHECK(error.kind() == Error::Kind::slave_lost);
  CHECK(error.slave() == "");
  CHECK(shelf.call<&Shelf::kind_of_failure>(counter).get() ==
        static_cast<int>(Error::Kind::slave_lost));
}

TEST_CASE(
    "when its slave is lost a reference fails in words, and new objects come with the slave") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(gandalf));
  const auto slave = cluster.slave("gandalf");
  const auto counter = slave.make<Counter>(1);
  auto running = counter.call<&Counter::hang>(folder / "started");
  wait_for_marks(folder / "started");
  gandalf.kill();
  const auto error = error_of(std::move(running));
  CHECK(error.kind() == Error::Kind::slave_lost);
  CHECK_THAT(error.what(), Contains("gandalf"));
  CHECK(error_of(counter.call<&Counter::current>()).kind() == Error::Kind::slave_lost);
  gandalf.start();
  CHECK(slave.make<Counter>(2).call<&Counter::current>().get() == 2);
}

TEST_CASE("a restartable object is made again, also when its slave was away; others are not") {
  SlaveProcess gandalf;
  knee::Cluster cluster(reaching(gandalf));
  const auto slave = cluster.slave("gandalf");
  const auto lasting = slave.make<Counter>(knee::Placement::own().restartable(), 5);
  const auto mortal = slave.make<Counter>(knee::Placement::own(), 5);
  CHECK(lasting.call<kAddNumber>(1).get() == 6);
  CHECK(error_of(lasting.call<&Counter::die>()).kind() == Error::Kind::crashed);
  CHECK(error_of(mortal.call<&Counter::die>()).kind() == Error::Kind::crashed);
  CHECK(lasting.call<kAddNumber>(1).get() == 6);
  CHECK(lasting.call<kAddNumber>(1).get() == 7);
  CHECK(error_of(mortal.call<&Counter::current>()).kind() == Error::Kind::crashed);
  gandalf.kill();
  gandalf.start();
  int value = 0;
  CHECK(wait_until([&] {
    try {
      value = lasting.call<kAddNumber>(1).get();
    } catch (const Error& error) {
      REQUIRE(error.kind() == Error::Kind::slave_lost);  // the driver did not know yet
    }
    return value != 0;
  }));
  CHECK(value == 6);
  CHECK(slave.objects() == 1);
}

TEST_CASE("a restartable object that has died is made again also when it is an argument") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto lasting = gandalf.make<Counter>(knee::Placement::own().restartable(), 5);
    const auto shelf = gandalf.make<Shelf>();
    CHECK(error_of(lasting.call<&Counter::die>()).kind() == Error::Kind::crashed);
    CHECK(shelf.call<&Shelf::kind_of_failure>(lasting).get() == -1);
    CHECK(lasting.call<kAddNumber>(1).get() == 6);
  });
}

TEST_CASE(
    "a restartable object that cannot be made again fails the call that it is an argument of") {
  const TemporaryFolder folder;
  with_a_slave([&](knee::Cluster&, const knee::Slave& gandalf) {
    const auto once = gandalf.make<Once>(knee::Placement::own().restartable(), folder / "made");
    const auto witness = gandalf.make<Witness>();
    CHECK(witness.call<&Witness::see>(once).get() == "it is there");
    CHECK(error_of(once.call<&Once::die>()).kind() == Error::Kind::crashed);
    const auto error = error_of(witness.call<&Witness::see>(once));
    CHECK_THAT(error.what(), Contains("made twice"));
    CHECK(witness.call<&Witness::knows>().get());
  });
}

TEST_CASE("a restartable object is made again for those it was given to while its slave was away") {
  SlaveProcess gandalf;
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto there = cluster.slave("frodo");
  const auto lasting = there.make<Counter>(knee::Placement::own().restartable(), 5);
  lasting.wait();
  const auto shelf = cluster.slave("gandalf").make<Shelf>();
  frodo.kill();
  const auto is_there = [](const knee::SlaveInfo& one) {
    return one.name == "frodo" && one.connected;
  };
  REQUIRE(wait_until([&] {
    const auto all = cluster.describe();
    return std::none_of(all.begin(), all.end(), is_there);
  }));
  auto failure = shelf.call<&Shelf::kind_of_failure>(lasting);
  frodo.start();
  CHECK(failure.get() == -1);
}

TEST_CASE("a restartable object of the common process is made again, and those beside it are not") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto lasting = gandalf.make<Counter>(knee::Placement().restartable(), 5);
    const auto mortal = gandalf.make<Counter>(5);
    const int process = mortal.call<&Counter::process>().get();
    CHECK(lasting.call<&Counter::process>().get() == process);
    CHECK(lasting.call<kAddNumber>(1).get() == 6);
    CHECK(error_of(mortal.call<&Counter::die>()).kind() == Error::Kind::crashed);
    CHECK(lasting.call<kAddNumber>(1).get() == 6);
    CHECK(error_of(mortal.call<&Counter::current>()).kind() == Error::Kind::crashed);
    // It is in the common process again, which is a new one.
    const int next = lasting.call<&Counter::process>().get();
    CHECK(next != process);
    const auto fresh = gandalf.make<Counter>(1);
    CHECK(fresh.call<&Counter::process>().get() == next);
    CHECK(gandalf.objects() == 2);
  });
}

TEST_CASE("a placement that is used on two slaves is a process on each") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto place = knee::Placement::own();
  const auto one = cluster.slave("gandalf").make<Counter>(place, 1);
  const auto beside = cluster.slave("gandalf").make<Counter>(place, 2);
  const auto there = cluster.slave("frodo").make<Counter>(place, 3);
  const int process = one.call<&Counter::process>().get();
  CHECK(beside.call<&Counter::process>().get() == process);
  CHECK(there.call<&Counter::process>().get() != process);
  // Each has its own end.
  CHECK(error_of(one.call<&Counter::die>()).kind() == Error::Kind::crashed);
  CHECK(error_of(beside.call<&Counter::current>()).kind() == Error::Kind::crashed);
  CHECK(there.call<&Counter::current>().get() == 3);
  CHECK(cluster.slave("frodo").objects() == 1);
}

TEST_CASE(
    "a call that is cancelled before its turn never begins; of one that runs nothing comes back") {
  const TemporaryFolder folder;
  with_a_slave([&](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto counter = gandalf.make<Counter>(1);
    auto running = counter.call<&Counter::hold>(folder / "started", folder / "go");
    wait_for_marks(folder / "started");
    auto waiting = counter.call<kAddNumber>(100);
    auto task = cluster.call<twice>(4);
    waiting.cancel();
    running.cancel();
    CHECK(error_of(std::move(waiting)).kind() == Error::Kind::cancelled);
    CHECK(error_of(std::move(running)).kind() == Error::Kind::cancelled);
    gandalf.describe();  // by then the slave has passed that on
    leave_mark(folder / "go", "");
    CHECK(counter.call<kAddNumber>(1).get() == 2);
    CHECK(task.get() == 8);
  });
}

TEST_CASE("a call waits for its slave also when the reference it was made on is gone") {
  SlaveProcess frodo({.name = "frodo", .start = false});
  knee::Cluster cluster(reaching(frodo));
  auto current = cluster.slave("frodo").make<Counter>(3).call<&Counter::current>();
  auto read =
      cluster.slave("frodo").make<Folder>("home").call<&Folder::open>("notes").call<&File::read>();
  cluster.slaves();  // the driver has heard of all that by now
  frodo.start();
  CHECK(current.get() == 3);
  CHECK(read.get() == "what home/notes says");
  CHECK(wait_until([&] { return cluster.slave("frodo").objects() == 0; }));
}

TEST_CASE("a call that waits for its slave can be cancelled") {
  SlaveProcess frodo({.name = "frodo", .start = false});
  knee::Cluster cluster(reaching(frodo));
  const auto counter = cluster.slave("frodo").make<Counter>(1);
  auto first = counter.call<kAddNumber>(100);
  auto second = counter.call<kAddNumber>(10);
  first.cancel();
  CHECK(error_of(std::move(first)).kind() == Error::Kind::cancelled);
  frodo.start();
  CHECK(second.get() == 11);
}

TEST_CASE("a reference may outlive its cluster, and then says so") {
  knee::Ref<Counter> counter;
  CHECK_THAT(error_out_of([&] { (void)counter.call<&Counter::current>(); }).what(),
             Contains("refers to nothing"));
  SlaveProcess gandalf;
  {
    knee::Cluster cluster(reaching(gandalf));
    counter = cluster.slave("gandalf").make<Counter>(1);
    counter.wait();
  }
  CHECK_THAT(error_out_of([&] { (void)counter.call<&Counter::current>(); }).what(),
             Contains("whose Cluster is gone"));
}
