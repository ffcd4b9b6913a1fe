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

}  // namespace knee::test
