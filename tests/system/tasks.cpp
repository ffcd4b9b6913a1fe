#include "tasks.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/system/harness/marks.h"

namespace knee::test {

int twice(int x) {
  return 2 * x;
}

int hold(int number, std::string started, std::string go) {
  leave_mark(started, std::to_string(number));
  wait_for_marks(go);
  return number;
}

void hang(std::string started) {
  leave_mark(started, std::to_string(::getpid()));
  for (;;) ::pause();
}

int rest(int number, int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  return number;
}

void rest_and_mark(std::string file, std::string text) {
  rest(0, 10);
  leave_mark(file, text);
}

int own_pid() {
  return ::getpid();
}

std::string Tally::complaints() const {
  std::string text;
  for (std::size_t i = 0; i < times_.size(); ++i)
    if (times_[i] != 1)
      text += std::to_string(i) + " came " + std::to_string(times_[i]) + " times\n";
  return text;
}

Others::Others(Cluster& cluster) : bag_(cluster.bag({.name = "others"})) {
  for (int i = 0; i < 100; ++i) bag_.call<rest>(i, 1).then([this](int x) { results_.add(x); });
}

std::string Others::complaints() {
  bag_.wait();
  return results_.complaints();
}

}  // namespace knee::test
