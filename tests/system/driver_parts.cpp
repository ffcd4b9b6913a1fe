#include "driver_parts.h"

#include <fcntl.h>
#include <knee/knee.h>
#include <signal.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/system/harness/marks.h"
#include "tests/system/harness/wait_until.h"
#include "tests/system/tasks.h"

namespace knee::test {
namespace {

using Arguments = std::vector<std::string>;

int number(const std::string& text) {
  return std::stoi(text);
}

void print_lines(int count) {
  for (int i = 0; i < count; ++i) std::printf("line %d\n", i);
}

int crash_in_a_black_hole(int x) {
  if (std::getenv("KNEE_TEST_BLACK_HOLE") != nullptr) ::raise(SIGSEGV);
  return rest(x, 1);
}

/// `call_one`
void call_one(Cluster& cluster, const Arguments&) {
  std::cout << cluster.call<twice>(21).get() << '\n';
}

/// `hang FILE COUNT`: tasks that never end.
void hang_all(Cluster& cluster, const Arguments& arguments) {
  auto bag = cluster.bag({.name = "hanging"});
  for (int i = 0; i < number(arguments.at(1)); ++i) (void)bag.call<hang>(arguments.at(0));
  bag.wait();
}

int hold_number(const std::vector<std::string>& marks) {
  return hold(1, marks.at(0), marks.at(1));
}

/// `map STARTED GO`: two tasks by a lazy map.
void map(Cluster& cluster, const Arguments& arguments) {
  auto bag = cluster.bag({.name = "mapped"});
  int sum = 0;
  for (const auto& [index, value] : bag.map<hold_number>(std::vector<Arguments>(2, arguments)))
    sum += value;
  std::cout << sum << '\n';
}

struct Asker {
  int ask(const Function<int(int)>& function) { return function(1); }
};

/// `call_back STARTED`: a call that waits for a callback that never ends.
void call_back(Cluster& cluster, const Arguments& arguments) {
  const auto asker = cluster.slave("gandalf").make<Asker>();
  asker
      .call<&Asker::ask>([&](int number) {
        hang(arguments.at(0));
        return number;
      })
      .get();
}

struct Speaker {
  void say(const std::string& text) { std::cout << text << '\n'; }
};

/// `print_by_object`: an object that prints a line.
void print_by_object(Cluster& cluster, const Arguments&) {
  cluster.slave("gandalf").make<Speaker>().call<&Speaker::say>("said by an object").get();
}

/// `idle_objects READY`: one in the common process and one in a process of its own.
void idle_objects(Cluster& cluster, const Arguments& arguments) {
  const auto common = cluster.slave("gandalf").make<Speaker>();
  const auto own = cluster.slave("gandalf").make<Speaker>(Placement::own());
  common.wait();
  own.wait();
  hang(arguments.at(0));
}

struct Drawer {
  void jam() { throw std::runtime_error("it is jammed"); }
  Object open() { return Exposed("a drawer"); }
};

/// `ignore_failures`: calls, one of a method and one by a name, that fail while nobody looks.
void ignore_failures(Cluster& cluster, const Arguments&) {
  const auto drawer = cluster.slave("gandalf").make<Drawer>();
  (void)drawer.call<&Drawer::jam>();
  const Object opened = drawer.call<&Drawer::open>();
  (void)opened.call("missing");
  std::cout << opened.str() << '\n';
}

/// A line of /proc/self/status, in bytes.
std::int64_t memory(const std::string& line) {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name; status.ignore(INT_MAX, '\n'))
    if (name == line + ":") {
      std::int64_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes << 10;
    }
  return 0;
}

/// `copy FILE THERE BACK`: to a slave and back. Prints how much memory that took at most, in
/// bytes.
void copy(Cluster& cluster, const Arguments& arguments) {
  const auto files = cluster.slave("gandalf").files();
  files.list("/");
  const auto before = memory("VmRSS");
  files.upload(arguments.at(0), arguments.at(1));
  files.download(arguments.at(1), arguments.at(2));
  std::cout << memory("VmHWM") - before << '\n';
}

int ask(const Function<int(int)>& function) {
  return function(1);
}

/// `wait_in_callback STARTED`: a callback waits for a task that never ends, and another task waits
/// for a callback.
void wait_in_callback(Cluster& cluster, const Arguments& arguments) {
  cluster.call<twice>(1).then([&](int) {
    auto first = cluster.call<ask>([](int number) { return number; });
    cluster.call<knee::test::hang>(arguments.at(0)).get();
  });
  ::pause();
}

/// `call_absent`: a call on an object of a slave that is not there.
void call_absent(Cluster& cluster, const Arguments&) {
  cluster.slave("gandalf").make<Asker>().wait();
}

/// `lend STARTED`: a task that waits for a callback that never ends.
void lend(Cluster& cluster, const Arguments& arguments) {
  cluster
      .call<ask>([&](int number) {
        hang(arguments.at(0));
        return number;
      })
      .get();
}

/// `end_in_callback BY STARTED GO`: the cluster ends while a callback of an object, or of a task,
/// runs, which returns when there is something in GO.
void end_in_callback(Cluster& cluster, const Arguments& arguments) {
  const auto& started = arguments.at(1);
  const Function<int(int)> slow = [started, go = arguments.at(2)](int number) {
    return hold(number, started, go);
  };
  const auto ignore = [](const Error&) {};
  if (arguments.at(0) == "object")
    cluster.slave("gandalf").make<Asker>().call<&Asker::ask>(slow).then([](int) {}, ignore);
  else
    cluster.call<ask>(slow).then([](int) {}, ignore);
  wait_for_marks(started);
}

/// `submit_for_ever`: a callback that submits its task again whenever that fails, also when it does
/// because the cluster ends.
void submit_for_ever(Cluster& cluster, const Arguments&) {
  static std::function<void()> again;
  again = [&cluster] { cluster.call<twice>(1).then([](int) {}, [](const Error&) { again(); }); };
  again();
}

struct Hanger {
  void hang(std::string started) { knee::test::hang(std::move(started)); }
};

/// `end_while_asking WHAT STARTED GO ASKING`: when there is something in GO a callback asks for the
/// objects of a slave, in whose process a method runs, or for a description of it. Then the cluster
/// ends.
void end_while_asking(Cluster& cluster, const Arguments& arguments) {
  const auto gandalf = cluster.slave("gandalf");
  const auto hanger = gandalf.make<Hanger>();
  hanger.call<&Hanger::hang>(arguments.at(1)).then([] {}, [](const Error&) {});
  wait_for_marks(arguments.at(1));
  cluster.call<twice>(1).then([&cluster, gandalf, arguments](int) {
    leave_mark(arguments.at(1), "");
    wait_for_marks(arguments.at(2));
    leave_mark(arguments.at(3), "");
    if (arguments.at(0) == "objects")
      std::cout << gandalf.objects() << " objects\n";
    else
      std::cout << cluster.describe(std::chrono::hours(1)).size() << " descriptions\n";
  });
  wait_for_marks(arguments.at(3));
  // Gives the question time to come, as long as the slave is stopped.
  (void)cluster.describe(std::chrono::milliseconds(100));
}

int hold_halfway(const std::vector<std::string>& marks) {
  this_task::progress(0.5);
  return hold_number(marks);
}

/// `halfway STARTED GO`: a task that says it is halfway.
void halfway(Cluster& cluster, const Arguments& arguments) {
  auto bag = cluster.bag();
  (void)bag.call<hold_halfway>(arguments);
  bag.wait();
}

/// `hold STARTED GO`
void hold_one(Cluster& cluster, const Arguments& arguments) {
  cluster.call<hold>(1, arguments.at(0), arguments.at(1)).get();
}

/// `print COUNT`: one task that prints so many lines, among others.
void print(Cluster& cluster, const Arguments& arguments) {
  Others others(cluster);
  cluster.call<print_lines>(number(arguments.at(0))).get();
  std::cerr << others.complaints();
}

void print_and_hold_one(std::string name, std::string started, std::string go) {
  std::printf("%s is in slot %u\n", name.c_str(), this_task::slot());
  hold(0, std::move(started), std::move(go));
}

/// `print_and_hold STARTED GO`: two tasks of a bag "play" that print a line and wait then.
void print_and_hold(Cluster& cluster, const Arguments& arguments) {
  auto bag = cluster.bag({.name = "play"});
  for (const char* name : {"first", "second"})
    (void)bag.call<print_and_hold_one>(TaskOptions{.name = name}, name, arguments.at(0),
                                       arguments.at(1));
  bag.wait();
}

int rest_a_little(int number, std::string file) {
  rest_and_mark(std::move(file), "x");
  return number;
}

/// `tally FILE COUNT`: tasks of 10 ms that leave a mark. Prints which results did not come once.
void tally(Cluster& cluster, const Arguments& arguments) {
  auto bag = cluster.bag({.name = "tallied"});
  const int count = number(arguments.at(1));
  Tally results(count);
  for (int i = 0; i < count; ++i)
    bag.call<rest_a_little>(i, arguments.at(0)).then([&](int x) { results.add(x); });
  bag.wait();
  std::cout << results.complaints() << count << " results\n";
}

/// `rest_and_mark FILE TEXT COUNT`: tasks of 10 ms that leave the mark TEXT.
void rest_and_mark_all(Cluster& cluster, const Arguments& arguments) {
  auto bag = cluster.bag({.name = "resting"});
  int results = 0;
  for (int i = 0; i < number(arguments.at(2)); ++i)
    bag.call<rest_and_mark>(arguments.at(0), arguments.at(1)).then([&] { ++results; });
  bag.wait();
  std::cout << results << " results\n";
}

int run_in_shell(const std::string& command) {
  return std::system(command.c_str());
}

/// `shell COMMAND`: one task that runs it by system().
void shell(Cluster& cluster, const Arguments& arguments) {
  std::cout << "system() gave " << cluster.call<run_in_shell>(arguments.at(0)).get() << '\n';
}

/// `share READY GO FILE TEXT COUNT`: the same when there is something in GO and a worker is warm.
void share(Cluster& cluster, const Arguments& arguments) {
  cluster.call<twice>(1).get();
  leave_mark(arguments.at(0), arguments.at(3));
  wait_for_marks(arguments.at(1));
  rest_and_mark_all(cluster, {arguments.begin() + 2, arguments.end()});
}

/// `black_hole COUNT`
void black_hole(Cluster& cluster, const Arguments& arguments) {
  // Alone with the hole no task would have another place to go to.
  (void)wait_until([&] { return cluster.slaves().size() == 2; });
  auto bag = cluster.bag();
  const int count = number(arguments.at(0));
  Tally results(count);
  for (int i = 0; i < count; ++i)
    bag.call<crash_in_a_black_hole>(i).then([&](int x) { results.add(x); });
  bag.wait();
  std::cout << results.complaints() << count << " results\n";
}

/// `pass_into FIFO SCRIPT [CANCEL CANCELLED]`: a command whose output this process passes on to
/// FIFO; it is cancelled when there is a mark in CANCEL.
void pass_into(Cluster& cluster, const Arguments& arguments) {
  const int fifo = ::open(arguments.at(0).c_str(), O_WRONLY | O_CLOEXEC);
  if (fifo < 0 || ::dup2(fifo, STDOUT_FILENO) < 0 || ::close(fifo) != 0)
    throw std::runtime_error("cannot print into " + arguments.at(0));
  Command command;
  command.arguments = {"sh", "-c", arguments.at(1)};
  command.output = Command::Output::pass;
  auto ended = cluster.run(command, {.attempts = 1});
  if (arguments.size() > 2) {
    wait_for_marks(arguments.at(2));
    ended.cancel();
  }
  try {
    ended.get();
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::cancelled) throw;
    leave_mark(arguments.at(3), error.what());
  }
}

const std::map<std::string, std::function<void(Cluster&, const Arguments&)>>& parts() {
  static const std::map<std::string, std::function<void(Cluster&, const Arguments&)>> all{
      {"black_hole", black_hole},
      {"call_back", call_back},
      {"call_one", call_one},
      {"end_in_callback", end_in_callback},
      {"end_while_asking", end_while_asking},
      {"hang", hang_all},
      {"halfway", halfway},
      {"hold", hold_one},
      {"call_absent", call_absent},
      {"copy", copy},
      {"idle_objects", idle_objects},
      {"ignore_failures", ignore_failures},
      {"lend", lend},
      {"map", map},
      {"pass_into", pass_into},
      {"print", print},
      {"print_and_hold", print_and_hold},
      {"print_by_object", print_by_object},
      {"rest_and_mark", rest_and_mark_all},
      {"share", share},
      {"submit_for_ever", submit_for_ever},
      {"tally", tally},
      {"shell", shell},
      {"wait_in_callback", wait_in_callback},
  };
  return all;
}

}  // namespace

int play_driver_part(int argc, char** argv) {
  Cluster cluster(argc, argv);
  const Arguments arguments(argv + 3, argv + argc);
  try {
    parts().at(argv[2])(cluster, arguments);
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << "failed: " << failure.what() << '\n';
    return 1;
  }
}

}  // namespace knee::test
