// A session as one has it with RPyC's classic mode, step by step, in C++: files and objects that
// are on a slave and are used as if they were here, calls that one does not wait for, and functions
// and a stream of this program that the slave uses.
//   classic [--knee-slaves gandalf]

#include <knee/knee.h>

#include <atomic>
#include <iostream>
#include <string>
#include <vector>

#include "mymodule.h"

namespace {

/// Calls the function with each number, and gives what it returns.
std::vector<int> map(const knee::Function<int(int)>& function, const std::vector<int>& numbers) {
  std::vector<int> results;
  for (const int number : numbers) results.push_back(function(number));
  return results;
}

void say(std::ostream& out, const std::string& line) {
  out << line << '\n';
}

/// Runs on the slave; `out` is at home.
void report(const knee::Ref<std::ostream>& out) {
  out.call<say>("a line from " + knee::this_task::slave()).get();
}

/// Of a file there: an istream over it goes wherever an istream goes.
std::string first_line(const knee::Slave& slave, const std::string& path) {
  knee::RemoteStream in(slave.files().open(path));
  std::string line;
  std::getline(in, line);
  return line;
}

}  // namespace

int main(int argc, char** argv) {
  std::atomic<int> arrived = 0;  // outlives the cluster: callbacks use it
  knee::Cluster cluster(argc, argv);
  const knee::Slave gandalf = cluster.slave(cluster.describe().at(0).name);

  std::cout << "its system is " << first_line(gandalf, "/etc/os-release") << '\n';

  // An object there.
  const knee::Ref<MyClass> object = gandalf.make<MyClass>(0.0);
  std::cout << "f(3) is " << object.call<&MyClass::f>(3).get() << '\n';

  // Its attributes.
  object.set<&MyClass::t>(0.5).get();
  std::cout << "t is " << object.get<&MyClass::t>().get() << '\n';

  // The slave calls a function of this program.
  const auto loc = [](int n) {
    std::cout << "loc " << n << '\n';
    return n + 1;
  };
  const auto mapped = gandalf.call<map>(loc, std::vector{1, 2, 3}).get();
  for (const int n : mapped) std::cout << n << ' ';
  std::cout << '\n';

  // And writes where this program says.
  gandalf.call<report>(cluster.offer<std::ostream>(std::cout)).get();

  // A call that takes its time, while this program goes on.
  knee::Promise<int> later = object.call<&MyClass::f>(4);
  std::cout << "ready: " << std::boolalpha << later.ready() << '\n';
  std::cout << "f(4) is " << later.get() << '\n';

  // One whose result comes by itself.
  object.call<&MyClass::f>(5).then([&arrived](int n) {
    arrived = n;
    arrived.notify_all();
  });
  std::cout << "meanwhile f(5) is not known: " << (arrived == 0) << '\n';
  arrived.wait(0);
  std::cout << "f(5) has come: " << arrived << '\n';

  // Callbacks can be made to wait; calls go on.
  cluster.pause_callbacks();
  object.call<&MyClass::f>(6).then([&arrived](int n) {
    arrived = n;
    arrived.notify_all();
  });
  std::cout << "f(7) is " << object.call<&MyClass::f>(7).get()
            << ", and of f(6) nothing was said: " << (arrived == 6) << '\n';
  cluster.resume_callbacks();
  arrived.wait(6);
  std::cout << "now it was: " << arrived << '\n';

  std::cout << "objects there: " << gandalf.objects() << '\n';
  // The end of the cluster closes everything.
}
