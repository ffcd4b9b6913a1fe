#include <unistd.h>
#include <catch2/catch.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/marks.h"
#include "tests/system/live_objects.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

/// Passes on what another object of its process opens.
struct Desk {
  knee::Ref<File> open(const std::string& name) { return folder.call<&Folder::open>(name); }
  knee::Ref<Folder> folder = knee::make_ref<Folder>("desk");
};

struct Follower {
  /// Returns before the answer is there.
  void follow(const knee::Ref<Counter>& other, std::string mark) {
    other.call<kAddNumber>(2).then(
        [mark = std::move(mark)](int sum) { leave_mark(mark, std::to_string(sum)); });
  }
};

struct Caller {
  std::string read_from(const knee::Function<knee::Ref<File>(const std::string&)>& open) {
    return open("notes").call<&File::read>().get();
  }
  template <class F>
  int apply_all(const std::vector<F>& functions, int number) {
    for (const auto& function : functions) number = function(number);
    return number;
  }
  std::vector<int> map(const std::vector<int>& numbers, const knee::Function<int(int)>& function) {
    std::vector<int> results;
    for (const int number : numbers) results.push_back(function(number));
    return results;
  }
  int descend(int depth, const std::function<int(int)>& function) {
    return depth == 0 ? 0 : 1 + function(depth - 1);
  }
  void pass_on(const knee::Ref<Counter>& counter,
               const knee::Function<void(knee::Ref<Counter>)>& function) {
    function(counter);
  }
  void tell_and_hold(const knee::Ref<Counter>& counter, std::string started, std::string go) {
    const auto answer = counter.call<kAddNumber>(1);
    knee::test::hold(0, std::move(started), std::move(go));
  }
  int ask(std::string started, const knee::Function<int(int)>& function) {
    leave_mark(started, "");
    return function(1);
  }
  void keep(knee::Function<int(int)> function) { kept = std::move(function); }
  int use_kept(int number) { return kept(number); }
  knee::Function<int(int)> kept;
};

/// Throws a ball to another and gets it back.
struct Player {
  /// The processes of those who had it.
  std::vector<int> throw_to(const knee::Ref<Player>& other, const knee::Ref<Player>& self,
                            int times) {
    std::vector<int> seen{::getpid()};
    if (times == 0) return seen;
    const auto others = other.call<&Player::throw_to>(self, other, times - 1).get();
    seen.insert(seen.end(), others.begin(), others.end());
    return seen;
  }
};

/// Between players of two processes.
void play(const knee::Ref<Player>& one, const knee::Ref<Player>& other) {
  std::vector<int> processes;
  for (const auto& player : {one, other})
    processes.push_back(player.call<&Player::throw_to>(other, one, 0).get().front());
  CHECK(processes[0] != processes[1]);
  for (const int times : {1, 2, 5, 10}) {
    const auto seen = one.call<&Player::throw_to>(other, one, times).get();
    REQUIRE(seen.size() == static_cast<std::size_t>(times) + 1);
    for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == processes[i % 2]);
  }
}

struct Store {
  explicit Store(std::vector<int> its_numbers) : numbers(std::move(its_numbers)) {}
  const std::vector<int>& content() const { return numbers; }
  void set(std::vector<int> others) { numbers = std::move(others); }
  /// Asks for others, given these.
  std::size_t replace_by(
      const knee::Function<std::vector<int>(const std::vector<int>&)>& function) {
    numbers = function(numbers);
    return numbers.size();
  }
  long long total() const { return std::accumulate(numbers.begin(), numbers.end(), 0LL); }
  std::vector<int> numbers;
};

}  // namespace

TEST_CASE("an object may be an argument: in its own process it is the object itself") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto folder = gandalf.make<Folder>("home");
    const auto file = folder.call<&Folder::open>("notes");
    CHECK(folder.call<&Folder::is_here>(file).get());
    CHECK(folder.call<&Folder::read>(file).get() == "what home/notes says");
    CHECK(folder.call<&Folder::same>(file).call<&File::read>().get() == "what home/notes says");
  });
}

TEST_CASE("an object of another slave may be an argument: it is called through the reference") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto folder = cluster.slave("gandalf").make<Folder>("home");
  const auto file = cluster.slave("frodo").make<File>("notes");
  file.wait();
  CHECK_FALSE(folder.call<&Folder::is_here>(file).get());
  CHECK(folder.call<&Folder::read>(file).get() == "what notes says");
}

TEST_CASE("callbacks of methods wait while callbacks are paused, and go on afterwards") {
  const TemporaryFolder folder;
  std::atomic<int> called = 0;  // until the cluster has ended
  with_a_slave([&](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    const auto other = gandalf.make<Counter>(knee::Placement::own(), 0);
    other.wait();
    cluster.pause_callbacks();
    auto asked = caller.call<&Caller::ask>(folder / "started", [&](int number) {
      ++called;
      return number + 1;
    });
    wait_for_marks(folder / "started");
    // Time for the call to come; without it the test cannot fail.
    for (int i = 1; i <= 10; ++i) CHECK(other.call<kAddNumber>(1).get() == i);
    CHECK(called == 0);
    CHECK_FALSE(asked.ready());
    cluster.resume_callbacks();
    CHECK(asked.get() == 2);
    CHECK(called == 1);
  });
}

TEST_CASE("a function that is an argument is called back in the driver, on the callback thread") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    std::vector<int> seen;
    std::thread::id thread;
    auto mapped = caller.call<&Caller::map>(std::vector{1, 2, 3}, [&](int number) {
      seen.push_back(number);
      thread = std::this_thread::get_id();
      return number + 1;
    });
    CHECK(mapped.get() == std::vector{2, 3, 4});
    CHECK(seen == std::vector{1, 2, 3});
    CHECK(thread != std::this_thread::get_id());
  });
}

TEST_CASE("a callback may call the object that waits for it, five deep") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    std::function<int(int)> again = [&](int depth) {
      return caller.call<&Caller::descend>(depth, again).get();
    };
    CHECK(caller.call<&Caller::descend>(5, again).get() == 5);
  });
}

TEST_CASE("an object may be called back by the object of another process that it waits for") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    play(gandalf.make<Player>(knee::Placement::own()),
         gandalf.make<Player>(knee::Placement::own()));
  });
}

TEST_CASE("an object may be called back by the object of another slave that it waits for") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  play(cluster.slave("gandalf").make<Player>(), cluster.slave("frodo").make<Player>());
}

TEST_CASE("a callback that throws makes the remote call throw with the same text") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto error = error_of(gandalf.make<Caller>().call<&Caller::map>(
        std::vector{1}, [](int) -> int { throw std::runtime_error("no more of that"); }));
    CHECK(error.exception_text() == "no more of that");
  });
}

TEST_CASE("a reference that comes with a callback is called as any other, and may fail") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto folder = gandalf.make<Folder>("home");
    std::string read;
    std::string failed;
    folder
        .call<&Folder::show>([&](const knee::Ref<Folder>& shown) {
          read = shown.call<&Folder::open>("notes").call<&File::read>().get();
          failed = error_out_of([&] { shown.call<&Folder::open>("").wait(); }).exception_text();
        })
        .get();
    CHECK(read == "what home/notes says");
    CHECK(failed == "a file without a name");
  });
}

TEST_CASE("a call that waits for its argument holds up its own object and no other") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo", .start = false});
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  const auto folder = cluster.slave("gandalf").make<Folder>("home");
  const auto counter = cluster.slave("gandalf").make<Counter>(1);
  auto read = folder.call<&Folder::read>(cluster.slave("frodo").make<File>("notes"));
  auto behind = folder.get<&Folder::name>();
  CHECK(counter.call<kAddNumber>(1).get() == 2);
  CHECK(counter.call<kAddNumber>(1).get() == 3);
  CHECK_FALSE(behind.ready());
  frodo.start();
  CHECK(read.get() == "what notes says");
  CHECK(behind.get() == "home");
}

TEST_CASE("a call that is given up while it waits in a callback does its object no harm") {
  std::atomic<bool> started = false;  // until the cluster has ended
  std::atomic<bool> go = false;
  with_a_slave([&](knee::Cluster&, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    auto running = caller.call<&Caller::map>(std::vector{1, 2}, [&](int number) {
      started = true;
      if (!wait_until([&] { return go.load(); })) throw std::runtime_error("it was not told to go");
      return number;
    });
    REQUIRE(wait_until([&] { return started.load(); }));
    running.cancel();
    CHECK(error_of(std::move(running)).kind() == Error::Kind::cancelled);
    go = true;
    CHECK(caller.call<&Caller::descend>(0, nullptr).get() == 0);
  });
}

TEST_CASE("objects can be counted in a callback that one of them waits for") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    std::uint64_t counted = 0;
    caller
        .call<&Caller::map>(std::vector{1},
                            [&](int number) {
                              counted = gandalf.objects();
                              return number;
                            })
        .get();
    CHECK(counted == 1);
  });
}

TEST_CASE("an argument that could not be made says so to the call that was given it") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto folder = gandalf.make<Folder>("home");
    const auto never = folder.call<&Folder::open>("");
    CHECK_THAT(error_of(folder.call<&Folder::read>(never)).what(),
               Contains("an argument refers to an object that could not be made") &&
                   Contains("a file without a name"));
    CHECK(folder.call<&Folder::read>(folder.call<&Folder::open>("notes")).get() ==
          "what home/notes says");
  });
}

TEST_CASE("what a method returns that could not be made fails where it was asked for") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto desk = gandalf.make<Desk>();
    CHECK(desk.call<&Desk::open>("notes").call<&File::read>().get() == "what desk/notes says");
    CHECK_THAT(error_out_of([&] { desk.call<&Desk::open>("").wait(); }).what(),
               Contains("a file without a name"));
    CHECK(desk.call<&Desk::open>("notes").call<&File::read>().get() == "what desk/notes says");
  });
}

TEST_CASE("a method may go on when something else has answered, after it has returned") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto other = gandalf.make<Counter>(knee::Placement::own(), 40);
    const auto follower = gandalf.make<Follower>();
    const TemporaryFolder folder;
    follower.call<&Follower::follow>(other, folder / "followed").get();
    wait_for_marks(folder / "followed");
    CHECK(marks_in(folder / "followed").front() == "42");
  });
}

TEST_CASE("a function may return a reference") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto folder = gandalf.make<Folder>("home");
    CHECK(gandalf.make<Caller>()
              .call<&Caller::read_from>(
                  [&](const std::string& name) { return folder.call<&Folder::open>(name); })
              .get() == "what home/notes says");
  });
}

TEST_CASE("functions may be a part of an argument") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const std::vector<knee::Function<int(int)>> functions{[](int n) { return n + 1; },
                                                          [](int n) { return n * 10; }};
    CHECK(gandalf.make<Caller>()
              .call<&Caller::apply_all<knee::Function<int(int)>>>(functions, 4)
              .get() == 50);
    const std::vector<std::function<int(int)>> others(functions.begin(), functions.end());
    CHECK(
        gandalf.make<Caller>().call<&Caller::apply_all<std::function<int(int)>>>(others, 4).get() ==
        50);
  });
}

TEST_CASE("a cycle of references between driver and slave ends with the cluster") {
  auto held = std::make_shared<int>(1);
  with_a_slave([&](knee::Cluster&, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    caller.call<&Caller::keep>([caller, held](int number) { return number + *held; }).get();
    CHECK(caller.call<&Caller::use_kept>(1).get() == 2);
  });
  CHECK(held.use_count() == 1);
}

TEST_CASE("a callback that waits for what waits for a callback after it gets an error") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    const auto same = [](int number) { return number; };
    knee::Promise<std::vector<int>> first;
    std::string error;
    std::atomic<bool> looked = false;
    cluster.call<twice>(1).then([&](int) {
      first = caller.call<&Caller::map>(std::vector{1, 2}, same);
      error = error_of(caller.call<&Caller::map>(std::vector{3}, same)).what();
      looked = true;
    });
    REQUIRE(wait_until([&] { return looked.load(); }));
    CHECK_THAT(error, Contains("could never end") && Contains("gandalf"));
    CHECK(first.get() == std::vector{1, 2});
    CHECK(caller.call<&Caller::map>(std::vector{4}, same).get() == std::vector{4});
  });
}

TEST_CASE("a callback that waits for a while, behind a call that waits for it, goes on then",
          "[.slow]") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    const auto same = [](int number) { return number; };
    knee::Promise<std::vector<int>> first;
    knee::Promise<std::vector<int>> second;
    bool came = true;
    std::atomic<bool> looked = false;
    cluster.call<twice>(1).then([&](int) {
      first = caller.call<&Caller::map>(std::vector{1, 2}, same);
      second = caller.call<&Caller::map>(std::vector{3}, same);
      came = second.wait_for(7s);  // the driver looks every 3 s
      looked = true;
    });
    REQUIRE(wait_until([&] { return looked.load(); }));
    CHECK_FALSE(came);
    CHECK(first.get() == std::vector{1, 2});
    CHECK(second.get() == std::vector{3});
  });
}

TEST_CASE("a callback may wait for long behind a call that has told the driver something",
          "[.slow]") {
  const TemporaryFolder folder;
  with_a_slave([&](knee::Cluster& cluster, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    Counter told(0);
    std::atomic<bool> came = false;
    cluster.call<twice>(1).then([&](int) {
      auto busy = caller.call<&Caller::tell_and_hold>(cluster.offer(told), folder / "started",
                                                      folder / "go");
      came = caller.call<&Caller::descend>(0, nullptr).get() == 0;
    });
    wait_for_marks(folder / "started");
    CHECK_FALSE(wait_until([&] { return came.load(); }, 7s));  // the driver looks every 3 s
    leave_mark(folder / "go", "");
    CHECK(wait_until([&] { return came.load(); }));
    CHECK(wait_until([&] {
      int count = 0;  // read where it is changed, on the callback thread
      auto bag = cluster.bag();
      bag.call<twice>(1).then([&](int) { count = told.current(); });
      bag.wait();
      return count == 1;
    }));
  });
}

TEST_CASE("a driver whose callback seems to wait for itself says so") {
  SlaveProcess gandalf({.slots = 1});
  const TemporaryFolder folder;
  DriverProcess driver({.part = "wait_in_callback",
                        .arguments = {folder / "started"},
                        .slaves = {gandalf.address()}});
  driver.wait_for_err("use then() in callbacks in place of get()");
}

TEST_CASE("arguments and results may be larger than any message, also those of callbacks") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    std::vector<int> numbers(std::size_t{5} << 20);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i);
    const auto store = gandalf.make<Store>(numbers);
    CHECK((store.call<&Store::content>().get() == numbers));
    numbers.front() = -1;
    bool was_whole = false;
    CHECK(store
              .call<&Store::replace_by>([&](const std::vector<int>& old) {
                was_whole = old.front() == 0 && old.size() == numbers.size();
                return numbers;
              })
              .get() == numbers.size());
    CHECK(was_whole);
    CHECK(store.call<&Store::total>().get() ==
          std::accumulate(numbers.begin(), numbers.end(), 0LL));
    CHECK((gandalf.make<Store>(numbers).call<&Store::content>().get() == numbers));
  });
}

TEST_CASE("large values come in the order of their calls") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto store = gandalf.make<Store>(std::vector<int>());
    auto large = store.call<&Store::set>(std::vector<int>(std::size_t{1} << 20, 1));
    auto small = store.call<&Store::set>(std::vector<int>(10, 1));
    large.get();
    small.get();
    CHECK(store.call<&Store::total>().get() == 10);
  });
}

TEST_CASE("what the driver offered comes back to it as itself") {
  with_a_slave([](knee::Cluster& cluster, const knee::Slave& gandalf) {
    Counter counter(1);
    const auto offered = cluster.offer(counter);
    Counter* seen = nullptr;
    gandalf.make<Caller>()
        .call<&Caller::pass_on>(offered,
                                [&](const knee::Ref<Counter>& back) { seen = back.local(); })
        .get();
    CHECK(seen == &counter);
  });
}

TEST_CASE("an object may keep a function and call it later") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto caller = gandalf.make<Caller>();
    caller.call<&Caller::keep>([](int number) { return 10 * number; }).get();
    CHECK(caller.call<&Caller::use_kept>(4).get() == 40);
  });
}

TEST_CASE("a method that waits in a callback whose driver has died ends") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  const LeakCheck leaks({&gandalf});
  DriverProcess driver(
      {.part = "call_back", .arguments = {folder / "started"}, .slaves = {gandalf.address()}});
  wait_for_marks(folder / "started");
  driver.kill();
  CHECK(wait_until([&] { return gandalf.family().empty(); }, 1s * kTimeSlack));
  CHECK(leaks.found() == "");
}
