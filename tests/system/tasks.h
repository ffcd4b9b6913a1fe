#pragma once

#include <knee/knee.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace knee::test {

/// Tasks that several tests use. They run in workers.

int twice(int x);
/// Leaves a mark with its number in `started` and returns when there is something in `go`.
int hold(int number, std::string started, std::string go);
/// Leaves a mark in `started` and never ends by itself.
void hang(std::string started);
/// Uses no CPU for so long.
int rest(int number, int milliseconds);
/// rest(number, 10) that leaves the mark `text`.
void rest_and_mark(std::string file, std::string text);
/// The worker's process id.
int own_pid();

/// The Error that `promise` fails with; throws std::logic_error if it does not.
template <class T>
Error error_of(Promise<T> promise) {
  try {
    promise.get();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("the task was to fail and has not");
}

/// The Error that `action` throws.
template <class Action>
Error error_out_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("an Error was to be thrown and none was");
}

/// Results of tasks, as callbacks bring them: each of `count` numbers exactly once?
class Tally {
 public:
  explicit Tally(int count) : times_(static_cast<std::size_t>(count)) {}
  void add(int number) { ++times_.at(static_cast<std::size_t>(number)); }
  /// Empty, or what is wrong.
  std::string complaints() const;

 private:
  std::vector<int> times_;
};

/// A hundred tasks beside what a test is about, which must not suffer from it.
class Others {
 public:
  explicit Others(Cluster& cluster);
  Others(const Others&) = delete;
  /// Waits for them. Empty: the result of each has come exactly once.
  std::string complaints();

 private:
  Tally results_{100};
  Bag bag_;
};

}  // namespace knee::test
