#include <knee/knee.h>
#include <knee/this_task.h>
#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kMB = 1'000'000;
/// How long a task of these tests takes that does not lag. One that takes three times as long
/// gets a twin; in between there is time to stop it.
constexpr int kUsual = 100;

struct Answer {
  int number = 0;
  std::string slave;
  std::string bytes;
};

/// Who has begun the task: its mark.
struct Runner {
  std::string slave;
  pid_t pid = 0;
};

Runner runner(const std::string& file, std::size_t which) {
  Runner found;
  std::istringstream(marks_in(file).at(which)) >> found.slave >> found.pid;
  return found;
}

/// Gives its argument back.
Answer usual(int number, std::string bytes) {
  rest(number, kUsual);
  return {number, knee::this_task::slave(), std::move(bytes)};
}

/// The first to run it waits until there is something in `go`, the others in `go_twin`. It is of
/// one kind with tasks that do not lag: those have no files.
Answer lag(int number, std::string bytes, std::string started, std::string go,
           std::string go_twin) {
  Answer answer = usual(number, std::move(bytes));
  if (started.empty()) return answer;
  leave_mark(started, answer.slave + " " + std::to_string(::getpid()));
  const auto first = runner(started, 0);
  wait_for_marks(first.pid == ::getpid() && first.slave == answer.slave ? go : go_twin);
  return answer;
}

/// Two slaves of one slot and a repeatable bag, of which the last task lags.
class Scene {
 public:
  Scene(SlaveProcess& gandalf, SlaveProcess& frodo)
      : gandalf_(gandalf), frodo_(frodo), cluster(reaching({&gandalf, &frodo})) {
    REQUIRE(wait_until([&] { return cluster.slots() == 2; }));
  }

  /// Two tasks per slave, so that it is known how long they take. Then the last one, where it
  /// begins first.
  Runner begin_the_last(std::size_t size = 0) {
    const std::string bytes(size, 'x');
    for (int i = 0; i < 4; ++i) (void)bag.call<lag>(0, bytes, "", "", "");
    bag.wait();
    bag.call<lag>(7, bytes, folder / "started", folder / "go", folder / "go twin")
        .then([this, bytes](const Answer& answer) {
          answers.push_back(answer.slave);
          whole = answer.number == 7 && answer.bytes == bytes;
        });
    wait_for_marks(folder / "started");
    return runner(folder / "started", 0);
  }

  Runner wait_for_twin() {
    wait_for_marks(folder / "started", 2);
    return runner(folder / "started", 1);
  }

  void let_first_end() { leave_mark(folder / "go", ""); }
  void let_twin_end() { leave_mark(folder / "go twin", ""); }

  SlaveProcess& slave(const std::string& name) { return name == "frodo" ? frodo_ : gandalf_; }
  SlaveProcess& other_than(const std::string& name) { return name == "frodo" ? gandalf_ : frodo_; }

  /// The last task gave one result, and both slaves have their slots for others and hold nothing.
  void check_the_end() {
    for (auto* slave : {&gandalf_, &frodo_}) {
      INFO(slave->name());
      auto promise = cluster.slave(slave->name()).call<twice>(3);
      REQUIRE(wait_until([&] { return promise.ready(); }, 10s));
      CHECK(wait_until([&] { return slave->value_bytes() == 0; }));
    }
    auto one = cluster.call<hold>(1, folder / "both", folder / "end");
    auto two = cluster.call<hold>(2, folder / "both", folder / "end");
    wait_for_marks(folder / "both", 2);
    leave_mark(folder / "end", "");
    CHECK(one.get() + two.get() == 3);
    CHECK(answers.size() == 1);
    CHECK(whole);
  }

 private:
  SlaveProcess& gandalf_;
  SlaveProcess& frodo_;

 public:
  TemporaryFolder folder;
  std::vector<std::string> answers;  ///< the last task's: who gave it
  bool whole = false;
  knee::Cluster cluster;
  knee::Bag bag = cluster.bag({.repeatable = true, .name = "last"});
};

/// Plays it with slaves on which it must leave nothing.
template <class Play>
void play_scene(Play play) {
  SlaveProcess gandalf({.name = "gandalf", .slots = 1});
  SlaveProcess frodo({.name = "frodo", .slots = 1});
  const LeakCheck leaks({&gandalf, &frodo});
  {
    Scene scene(gandalf, frodo);
    play(scene);
  }
  CHECK(leaks.found() == "");
}

/// The slave of the last task is stopped, and goes on when the twin has won.
void stop_slave(std::size_t size) {
  play_scene([size](Scene& scene) {
    const auto first = scene.begin_the_last(size);
    auto& stopped = scene.slave(first.slave).process();
    stopped.stop();
    scene.let_first_end();  // its worker is not stopped: there will be two results
    scene.let_twin_end();
    scene.bag.wait();
    CHECK(scene.answers == std::vector{scene.other_than(first.slave).name()});
    stopped.resume();
    scene.check_the_end();
  });
}

/// The same with the worker.
void stop_worker(std::size_t size) {
  play_scene([size](Scene& scene) {
    const auto first = scene.begin_the_last(size);
    ::kill(first.pid, SIGSTOP);
    scene.let_first_end();
    scene.let_twin_end();
    scene.bag.wait();
    ::kill(first.pid, SIGCONT);
    CHECK(scene.answers == std::vector{scene.other_than(first.slave).name()});
    scene.check_the_end();
  });
}

void end_together(std::size_t size) {
  play_scene([size](Scene& scene) {
    scene.begin_the_last(size);
    scene.wait_for_twin();
    scene.let_first_end();
    scene.let_twin_end();
    scene.bag.wait();
    scene.check_the_end();
  });
}

/// As `lag`, with a function of the driver's.
Answer lag_and_tell(int number, std::string started, std::string go,
                    const knee::Function<void(int)>& tell) {
  tell(number);
  return lag(number, "", std::move(started), go, go);
}

/// The first to run it gives a result of so many bytes, the others a short one.
Answer long_for_the_first(std::size_t size, std::string started) {
  Answer answer = usual(0, "");
  if (started.empty()) return answer;
  leave_mark(started, answer.slave + " " + std::to_string(::getpid()));
  if (marks_in(started).size() == 1) answer.bytes.assign(size, 'x');
  return answer;
}

}  // namespace

TEST_CASE("a task that was given a function gets no twin, though its bag is repeatable") {
  play_scene([](Scene& scene) {
    auto bag = scene.cluster.bag({.attempts = 3, .repeatable = true, .name = "told"});
    std::vector<int> told;
    const auto tell = [&told](int number) { told.push_back(number); };
    for (int i = 0; i < 4; ++i) (void)bag.call<lag_and_tell>(i, "", "", tell);
    bag.wait();
    auto last = bag.call<lag_and_tell>(7, scene.folder / "started", scene.folder / "go", tell);
    wait_for_marks(scene.folder / "started");
    CHECK_FALSE(wait_until([&] { return marks_in(scene.folder / "started").size() > 1; },
                           std::chrono::milliseconds(10 * kUsual)));
    scene.let_first_end();
    CHECK(last.get().number == 7);
    bag.wait();
    CHECK(std::count(told.begin(), told.end(), 7) == 1);
  });
}

TEST_CASE("a call that is repeatable itself gets a twin in a bag that is not") {
  play_scene([](Scene& scene) {
    auto bag = scene.cluster.bag({.name = "plain"});
    for (int i = 0; i < 4; ++i) (void)bag.call<lag>(0, "", "", "", "");
    bag.wait();
    const auto started = scene.folder / "started";
    bag.call<lag>(knee::TaskOptions{.repeatable = true}, 7, "", started, scene.folder / "go",
                  scene.folder / "go twin")
        .then([&scene](const Answer& answer) {
          scene.answers.push_back(answer.slave);
          scene.whole = answer.number == 7;
        });
    const auto twin = scene.wait_for_twin();
    scene.let_twin_end();
    bag.wait();
    CHECK(scene.answers == std::vector{twin.slave});
    CHECK(runner(started, 0).slave != twin.slave);
    scene.check_the_end();
  });
}

TEST_CASE("a call that is not repeatable itself gets no twin, though its bag is") {
  play_scene([](Scene& scene) {
    for (int i = 0; i < 4; ++i) (void)scene.bag.call<lag>(0, "", "", "", "");
    scene.bag.wait();
    const auto started = scene.folder / "started";
    auto last = scene.bag.call<lag>(knee::TaskOptions{.repeatable = false}, 7, "", started,
                                    scene.folder / "go", scene.folder / "go");
    wait_for_marks(started);
    CHECK_FALSE(wait_until([&] { return marks_in(started).size() > 1; },
                           std::chrono::milliseconds(10 * kUsual)));
    scene.let_first_end();
    CHECK(last.get().number == 7);
    scene.bag.wait();
  });
}

TEST_CASE("the last task of a stopped slave is done by its twin") {
  stop_slave(0);
}

TEST_CASE("the last task of a stopped slave is done by its twin, with a large argument") {
  stop_slave(kMB);
}

TEST_CASE("the last task of a stopped worker is done by its twin") {
  stop_worker(0);
}

TEST_CASE("the last task of a stopped worker is done by its twin, with a large argument") {
  stop_worker(kMB);
}

TEST_CASE("a task is done by a twin if its slave was stopped before it could say that it began") {
  play_scene([](Scene& scene) {
    for (int i = 0; i < 4; ++i) (void)scene.bag.call<lag>(0, "", "", "", "");
    scene.bag.wait();
    auto& stopped = scene.slave("frodo").process();
    stopped.stop();
    std::vector<std::string> slaves;
    for (int i = 0; i < 2; ++i)
      scene.bag.call<lag>(i, "", "", "", "").then([&](const Answer& answer) {
        slaves.push_back(answer.slave);
      });
    scene.bag.wait();
    CHECK(slaves == std::vector<std::string>{"gandalf", "gandalf"});
    CHECK(scene.cluster.slots() == 2);  // long before its slave was given up
    stopped.resume();
    scene.answers.push_back("gandalf");
    scene.whole = true;
    scene.check_the_end();
  });
}

TEST_CASE("a worker that lost against the twin of its task is ended") {
  play_scene([](Scene& scene) {
    const auto first = scene.begin_the_last();
    scene.let_twin_end();
    scene.bag.wait();
    CHECK(scene.answers == std::vector{scene.other_than(first.slave).name()});
    CHECK(wait_until([&] { return !is_alive(first.pid); }));
    scene.check_the_end();
  });
}

TEST_CASE("a twin whose task ends without it is ended") {
  play_scene([](Scene& scene) {
    const auto first = scene.begin_the_last(kMB);
    const auto twin = scene.wait_for_twin();
    CHECK(twin.slave != first.slave);
    scene.let_first_end();
    scene.bag.wait();
    CHECK(scene.answers == std::vector{first.slave});
    CHECK(wait_until([&] { return !is_alive(twin.pid); }));
    scene.check_the_end();
  });
}

TEST_CASE("a task and its twin that end together give one result") {
  end_together(0);
}

TEST_CASE("a twin goes on when the slave of the first attempt is killed") {
  play_scene([](Scene& scene) {
    const auto first = scene.begin_the_last(kMB);
    const auto twin = scene.wait_for_twin();
    scene.slave(first.slave).kill();
    scene.let_twin_end();
    scene.bag.wait();
    CHECK(scene.answers == std::vector{twin.slave});
    CHECK(marks_in(scene.folder / "started").size() == 2);
    scene.slave(first.slave).start();
    scene.check_the_end();
  });
}

TEST_CASE("the first attempt goes on when the slave of its twin is killed") {
  play_scene([](Scene& scene) {
    const auto first = scene.begin_the_last(kMB);
    const auto twin = scene.wait_for_twin();
    scene.slave(twin.slave).kill();
    scene.let_first_end();
    scene.bag.wait();
    CHECK(scene.answers == std::vector{first.slave});
    scene.slave(twin.slave).start();
    scene.check_the_end();
  });
}

TEST_CASE("cancelling a task ends its twin as well") {
  play_scene([](Scene& scene) {
    (void)scene.begin_the_last();
    (void)scene.wait_for_twin();
    scene.bag.cancel();
    CHECK(error_out_of([&] { scene.bag.wait(); }).kind() == knee::Error::Kind::cancelled);
    CHECK(scene.answers.empty());
    for (std::size_t i = 0; i < 2; ++i) {
      const auto pid = runner(scene.folder / "started", i).pid;
      CHECK(wait_until([&] { return !is_alive(pid); }));
    }
    scene.answers.push_back("nobody");
    scene.whole = true;
    scene.check_the_end();
  });
}

TEST_CASE("a command that lags gets a twin, and one of them is the result") {
  play_scene([](Scene& scene) {
    const auto shell = [](const std::string& script) {
      knee::Command command;
      command.arguments = {"sh", "-c", "sleep 0.1; " + script};
      return command;
    };
    for (int i = 0; i < 4; ++i) (void)scene.bag.run(shell("true"));
    scene.bag.wait();
    const auto started = scene.folder / "started";
    auto command =
        shell("echo x $$ >> " + started + "; [ $(wc -l < " + started +
              ") != 1 ] || exec sleep 1000; head -c 1000000 /dev/zero > out; printf twin");
    command.outputs = {"out"};
    int results = 0;
    scene.bag.run(command).then([&](const knee::CommandResult& result) {
      ++results;
      scene.answers.push_back(result.slave);
      scene.whole =
          result.out == "twin" && result.files.size() == 1 && result.files[0].content.size() == kMB;
    });
    scene.bag.wait();
    CHECK(results == 1);
    CHECK(marks_in(started).size() == 2);
    const auto loser = runner(started, 0).pid;
    CHECK(wait_until([&] { return !is_alive(loser); }));
    scene.check_the_end();
  });
}

TEST_CASE("a command goes on whose input was removed when its twin was to be sent") {
  play_scene([](Scene& scene) {
    const auto input = scene.folder / "input";
    leave_mark(input, "something");
    const auto command = [&](const std::string& script) {
      knee::Command one;
      one.arguments = {"sh", "-c", "sleep 0.1; " + script};
      one.inputs = {{input, "input"}};
      return one;
    };
    for (int i = 0; i < 4; ++i) (void)scene.bag.run(command("true"));
    scene.bag.wait();
    const auto started = scene.folder / "started";
    const auto go = scene.folder / "go";
    scene.bag
        .run(command("echo x $$ >> " + started + "; until [ -e " + go + " ]; do sleep 0.05; done"))
        .then([&](const knee::CommandResult& result) { scene.answers.push_back(result.slave); });
    wait_for_marks(started);
    std::filesystem::remove(input);
    // Long after it has lagged for long enough: that its twin cannot be sent is no failure of it.
    CHECK_FALSE(wait_until([&] { return scene.bag.counts().failed != 0; }, 2s));
    leave_mark(go, "");
    scene.bag.wait();
    CHECK(scene.answers.size() == 1);
    CHECK(marks_in(started).size() == 1);
    scene.whole = true;
    scene.check_the_end();
  });
}

TEST_CASE("a task and its twin that end together give one large result") {
  end_together(8 * kMB);
}

TEST_CASE("a result that is still being fetched when a twin wins takes no slot for ever") {
  play_scene([](Scene& scene) {
    for (int i = 0; i < 4; ++i) (void)scene.bag.call<long_for_the_first>(0u, "");
    scene.bag.wait();
    auto& gandalf = scene.slave("gandalf");
    // As often as a slave of one slot takes tasks before one has returned.
    for (int round = 0; round < 2; ++round) {
      const auto file = [&](const std::string& name) {
        return scene.folder / (name + std::to_string(round));
      };
      auto on_frodo = scene.cluster.slave("frodo").call<hold>(1, file("held"), file("end"));
      wait_for_marks(file("held"));
      const auto before = resident_memory_of(::getpid());
      std::vector<std::string> slaves;
      scene.bag.call<long_for_the_first>(96 * kMB, file("started")).then([&](const Answer& one) {
        slaves.push_back(one.slave);
      });
      REQUIRE(wait_until([&] { return resident_memory_of(::getpid()) > before + 8 * kMB; }));
      gandalf.process().stop();
      leave_mark(file("end"), "");
      scene.bag.wait();
      CHECK(slaves == std::vector<std::string>{"frodo"});
      gandalf.process().resume();
      CHECK(wait_until([&] { return gandalf.value_bytes() == 0; }));
    }
    scene.answers.push_back("frodo");
    scene.whole = true;
    scene.check_the_end();
  });
}
