#pragma once
#include <knee/knee.h>
#include <signal.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/system/harness/leak_check.h"
#include "tests/system/tasks.h"

/// Classes whose objects tests have live on slaves.
namespace knee::test {

class Counter {
 public:
  explicit Counter(int start) : value(start) {
    if (start < 0) throw std::invalid_argument("cannot count from below zero");
  }
  int add(int number) { return value += number; }
  int add(double number) { return value += static_cast<int>(std::lround(number)); }
  int current() const { return value; }
  static int raise_by(Counter& counter, int number) { return counter.value += number; }
  const std::string& name() const noexcept { return name_; }
  void rename(const std::string& name) { name_ = name; }
  int process() { return ::getpid(); }
  void hang(std::string started) { knee::test::hang(std::move(started)); }
  int hold(std::string started, std::string go) {
    return knee::test::hold(value, std::move(started), std::move(go));
  }
  void die() { ::raise(SIGKILL); }
  void leave(int code) { ::_exit(code); }

  int value;

 private:
  std::string name_ = "counter";
};

inline constexpr auto kAddNumber = static_cast<int (Counter::*)(int)>(&Counter::add);
inline constexpr auto kAddDouble = static_cast<int (Counter::*)(double)>(&Counter::add);

struct File {
  std::string path;
  std::string read() const { return "what " + path + " says"; }
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

/// Hands on what lives elsewhere.
struct Shelf {
  knee::Ref<Counter> same(knee::Ref<Counter> counter) { return counter; }
  /// The Error::Kind of a call on it.
  int kind_of_failure(const knee::Ref<Counter>& counter) {
    try {
      counter.call<&Counter::current>().get();
    } catch (const knee::Error& error) {
      return static_cast<int>(error.kind());
    }
    return -1;
  }
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

}  // namespace knee::test
