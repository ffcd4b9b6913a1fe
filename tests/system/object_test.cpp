#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <climits>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/slow_line.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

class Counter {
 public:
  explicit Counter(int start) : value(start) {
    if (start < 0) throw std::invalid_argument("cannot count from below zero");
  }
  int add(int number) { return value += number; }
  int add(double number) { return value += static_cast<int>(std::lround(number)); }
  int current() const { return value; }
  const std::string& name() const noexcept { return name_; }
  void rename(const std::string& name) { name_ = name; }
  int process() { return ::getpid(); }
  void hang(std::string started) { knee::test::hang(std::move(started)); }
  int hold(std::string started, std::string go) {
    return knee::test::hold(value, std::move(started), std::move(go));
  }
  void die() { ::raise(SIGKILL); }

  int value;

 private:
  std::string name_ = "counter";
};

constexpr auto kAddNumber = static_cast<int (Counter::*)(int)>(&Counter::add);
constexpr auto kAddDouble = static_cast<int (Counter::*)(double)>(&Counter::add);

int times(const Counter& counter, int factor) {
  return counter.value * factor;
}

struct File {
  std::string path;
  std::string read() const { return "what " + path + " says"; }
};

bool is_beside(Counter&, const knee::Ref<File>& file) {
  return file.local() != nullptr;
}

/// One of a chain.
struct Link {
  explicit Link(int number) : depth(number) {}
  knee::Ref<Link> next() const { return knee::make_ref<Link>(depth + 1); }
  int depth;
};

struct Folder {
  std::string name;
  knee::Ref<File> open(const std::string& file) {
    if (file.empty()) throw std::runtime_error("a file without a name");
    return knee::make_ref<File>(name + "/" + file);
  }
  /// Gives a copy of itself to the function.
  void show(const knee::Function<void(knee::Ref<Folder>)>& function) {
    function(knee::make_ref<Folder>(name));
  }
  /// The same reference that was given.
  knee::Ref<File> same(knee::Ref<File> file) { return file; }
  bool is_here(const knee::Ref<File>& file) { return file.local() != nullptr; }
  std::string read(const knee::Ref<File>& file) { return file.call<&File::read>().get(); }
};

/// Leaves a mark when it ends.
struct Guard {
  explicit Guard(std::string mark) : file(std::move(mark)) {}
  Guard(const Guard&) = delete;
  ~Guard() { leave_mark(file, "ended"); }
  std::string file;
};

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
  int apply_all(const std::vector<knee::Function<int(int)>>& functions, int number) {
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
  void keep(knee::Function<int(int)> function) { kept = std::move(function); }
  int use_kept(int number) { return kept(number); }
  knee::Function<int(int)> kept;
};

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

/// Calls `round(cluster, slave)` and looks for what it has left.
template <class Round>
void with_a_slave(Round round) {
  SlaveProcess gandalf;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    round(cluster, cluster.slave("gandalf"));
  }
  CHECK(leaks.found() == "");
}

}  // namespace

TEST_CASE("an object on a slave is made, called, read and changed") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto counter = gandalf.make<Counter>(3);
    CHECK(counter.call<kAddNumber>(4).get() == 7);
    CHECK(counter.call<kAddDouble>(0.6).get() == 8);
    CHECK(counter.call<&Counter::current>().get() == 8);
    CHECK(counter.call<&Counter::name>().get() == "counter");
    counter.call<&Counter::rename>("sum").get();
    CHECK(counter.call<&Counter::name>().get() == "sum");
    counter.set<&Counter::value>(20).get();
    CHECK(counter.get<&Counter::value>().get() == 20);
    CHECK(counter.call<times>(3).get() == 60);
    CHECK(gandalf.objects() == 1);
  });
}

TEST_CASE("calls may be sent before their object is there, and come in order") {
  SlaveProcess gandalf({.start = false});
  knee::Cluster cluster(reaching(gandalf));
  const auto counter = cluster.slave("gandalf").make<Counter>(0);
  std::vector<knee::Promise<int>> sums;
  for (int i = 1; i <= 100; ++i) sums.push_back(counter.call<kAddNumber>(i));
  gandalf.start();
  for (int i = 1; i <= 100; ++i)
    CHECK(sums[static_cast<std::size_t>(i - 1)].get() == i * (i + 1) / 2);
}

TEST_CASE("what a call that returns a reference returns can be called at once") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    CHECK(gandalf.make<Folder>("home").call<&Folder::open>("notes").call<&File::read>().get() ==
          "what home/notes says");
    const auto file = gandalf.make<Folder>("home").call<&Folder::open>("notes");
    file.wait();
    CHECK(gandalf.objects() == 1);
  });
}

TEST_CASE("ten calls on objects that are still being made take hardly more than one round trip") {
  constexpr auto kOneWay = 60ms;
  SlaveProcess gandalf;
  const SlowLine line(gandalf.address(), kOneWay);
  knee::ClusterOptions options = reaching(gandalf);
  options.slaves = {line.address()};
  knee::Cluster cluster(options);
  const auto first = cluster.slave("gandalf").make<Link>(0);
  first.wait();
  // Other programs may take their time from this one.
  bool quick = false;
  for (int i = 0; i < 10 && !quick; ++i) {
    int depth = 0;
    const auto time = time_of([&] {
      auto last = first;
      for (int calls = 1; calls < 10; ++calls) last = last.call<&Link::next>();
      depth = last.get<&Link::depth>().get();
    });
    CHECK(depth == 9);
    REQUIRE(time > 2 * kOneWay);
    quick = time < 3 * kOneWay;
  }
  CHECK(quick);
}

TEST_CASE("to make an object, have it open another and call that is one round trip") {
  SlaveProcess gandalf;
  const SlowLine line(gandalf.address(), 20ms);
  knee::ClusterOptions options = reaching(gandalf);
  options.slaves = {line.address()};
  knee::Cluster cluster(options);
  const auto slave = cluster.slave("gandalf");
  slave.make<Folder>("home").wait();  // the program is there
  const auto kept = slave.make<Folder>("home");
  kept.wait();
  // Heartbeats and the ends of earlier calls may come in between.
  unsigned least = UINT_MAX;
  for (int i = 0; i < 10 && least > 1; ++i) {
    const auto before = line.turns();
    CHECK(slave.make<Folder>("home").call<&Folder::open>("notes").call<&File::read>().get() ==
          "what home/notes says");
    least = std::min(least, line.turns() - before);
  }
  CHECK(least <= 1);
}

TEST_CASE("a constructor or method that throws says so to all that is called on its result") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto never = gandalf.make<Counter>(-1);
    const auto error = error_of(never.call<&Counter::current>());
    CHECK(error.kind() == Error::Kind::exception);
    CHECK(error.exception_type() == "std::invalid_argument");
    CHECK_THAT(error.what(), Contains("cannot count from below zero") && Contains("gandalf"));
    CHECK_THAT(error_out_of([&] { never.wait(); }).what(), Contains("below zero"));
    const auto file = gandalf.make<Folder>("home").call<&Folder::open>("");
    CHECK_THAT(error_of(file.call<&File::read>()).what(), Contains("a file without a name"));
    // The process is none the worse for it.
    CHECK(gandalf.make<Counter>(1).call<&Counter::current>().get() == 1);
  });
}

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
  {
    knee::Cluster cluster(reaching(gandalf));
    const auto counter = cluster.slave("gandalf").make<Counter>(1);
    counter.wait();
    CHECK_FALSE(gandalf.family().empty());
  }
  CHECK(wait_until([&] { return gandalf.family().empty(); }));
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

TEST_CASE("objects take no slots: tasks and calls run side by side") {
  SlaveProcess gandalf({.slots = 1});
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(gandalf));
  auto task = cluster.call<hold>(1, folder / "started", folder / "go");
  wait_for_marks(folder / "started");
  CHECK(cluster.slave("gandalf").make<Counter>(3).call<&Counter::current>().get() == 3);
  leave_mark(folder / "go", "");
  CHECK(task.get() == 1);
}

TEST_CASE("objects made with a placement have a process of their own") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    const auto process_of = [](const knee::Ref<Counter>& counter) {
      return counter.call<&Counter::process>().get();
    };
    const auto own = knee::Placement::own();
    const auto common = gandalf.make<Counter>(1);
    auto first = gandalf.make<Counter>(own, 2);
    auto second = gandalf.make<Counter>(own, 3);
    const auto other = gandalf.make<Counter>(knee::Placement::own(), 4);
    const auto beside = common.make<File>("notes");
    const auto process = process_of(first);
    CHECK(process_of(second) == process);
    CHECK(process_of(common) != process);
    CHECK(process_of(other) != process);
    CHECK(process_of(other) != process_of(common));
    CHECK(beside.call<&File::read>().get() == "what notes says");
    CHECK(common.call<is_beside>(beside).get());
    CHECK_FALSE(first.call<is_beside>(beside).get());
    CHECK(gandalf.objects() == 5);
    first = second = {};
    CHECK(wait_until([&] { return !is_alive(process); }));
    CHECK(gandalf.objects() == 3);
    CHECK(process_of(gandalf.make<Counter>(own, 5)) != process);
  });
}

TEST_CASE("objects of different processes neither wait for each other nor die together") {
  const TemporaryFolder folder;
  with_a_slave([&](knee::Cluster&, const knee::Slave& gandalf) {
    const auto own = knee::Placement::own();
    const auto stuck = gandalf.make<Counter>(own, 1);
    const auto free = gandalf.make<Counter>(2);
    auto never = stuck.call<&Counter::hang>(folder / "started");
    wait_for_marks(folder / "started");
    CHECK(free.call<&Counter::current>().get() == 2);
    free.call<&Counter::rename>("alive").get();
    auto mortal = gandalf.make<Counter>(knee::Placement::own(), 3);
    CHECK(error_of(mortal.call<&Counter::die>()).kind() == Error::Kind::crashed);
    CHECK(free.call<&Counter::name>().get() == "alive");
    CHECK_FALSE(never.ready());
  });
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
      CHECK(wait_until([&] { return go.load(); }));
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
    CHECK(gandalf.make<Caller>().call<&Caller::apply_all>(functions, 4).get() == 50);
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

TEST_CASE("what objects print comes out at the driver with their slave's name") {
  SlaveProcess gandalf;
  DriverProcess driver({.part = "print_by_object", .slaves = {gandalf.address()}});
  CHECK(driver.wait() == 0);
  CHECK_THAT(driver.out() + driver.err(), Contains("[gandalf") && Contains("said by an object"));
}

TEST_CASE("a driver whose callback seems to wait for itself says so") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  DriverProcess driver({.part = "wait_in_callback",
                        .arguments = {folder / "started"},
                        .slaves = {gandalf.address()}});
  driver.wait_for_err("use then() in callbacks in place of get()");
}

TEST_CASE("a driver that calls an object on a slave that is not there says so") {
  SlaveProcess gandalf({.start = false});
  DriverProcess driver({.part = "call_absent", .slaves = {gandalf.address()}});
  driver.wait_for_err("no slave yet, 2 calls wait");
  CHECK_THAT(driver.err(), Contains("gandalf.sock") || Contains("slave.sock"));
}

TEST_CASE("arguments and results may be larger than any message, also those of callbacks") {
  with_a_slave([](knee::Cluster&, const knee::Slave& gandalf) {
    std::vector<int> numbers(std::size_t{5} << 20);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i);
    const auto store = gandalf.make<Store>(numbers);
    CHECK((store.call<&Store::content>().get() == numbers));
    numbers.front() = -1;
    CHECK(store
              .call<&Store::replace_by>([&](const std::vector<int>& old) {
                CHECK(old.front() == 0);
                CHECK(old.size() == numbers.size());
                return numbers;
              })
              .get() == numbers.size());
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
  DriverProcess driver(
      {.part = "call_back", .arguments = {folder / "started"}, .slaves = {gandalf.address()}});
  wait_for_marks(folder / "started");
  driver.kill();
  CHECK(wait_until([&] { return gandalf.family().empty(); }, 1s * kTimeSlack));
}
