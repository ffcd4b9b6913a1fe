#include "cli/input_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/base/check.h"

namespace knee::cli {

InputThread::InputThread(int from, LiveInput to)
    : from_(from),
      to_(std::move(to)),
      stop_(check(::eventfd(0, EFD_CLOEXEC), "cannot make an eventfd")),
      thread_([this] { pass_all(); }) {}

InputThread::~InputThread() {
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void InputThread::pass_all() {
  std::array<char, 65536> buffer;
  while (wait_for_input()) {
    const ssize_t size = ::read(from_, buffer.data(), buffer.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    // What cannot be read, such as a descriptor that was closed, is an empty input.
    if (size <= 0) break;
    if (!to_.write({buffer.data(), static_cast<std::size_t>(size)})) break;
  }
  to_.close();
}

bool InputThread::wait_for_input() const {
  std::array<pollfd, 2> events{{{from_, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
  while (::poll(events.data(), events.size(), -1) < 0 && errno == EINTR) {
  }
  return events[1].revents == 0;
}

}  // namespace knee::cli
