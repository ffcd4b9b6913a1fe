#include <fcntl.h>
#include <knee/error.h>
#include <knee/python.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace knee {
namespace {

/// Where the handler writes. One watch at a time.
std::atomic<int> bell = -1;

void ring(int) {
  const int saved = errno;
  const char byte = 'i';
  (void)!::write(bell.load(), &byte, 1);
  errno = saved;
}

}  // namespace

/// A handler may do next to nothing: it wakes a thread that does the rest.
struct InterruptOnSigint::Watch {
  explicit Watch(Python python) {
    int ends[2];
    check(::pipe2(ends, O_CLOEXEC), "cannot make a pipe");
    reading.reset(ends[0]);
    writing.reset(ends[1]);
    int none = -1;
    if (!bell.compare_exchange_strong(none, writing.get()))
      throw Error(Error::Kind::usage, "there is an InterruptOnSigint already");
    thread = std::thread([this, python = std::move(python)] {
      char byte = 0;
      while (::read(reading.get(), &byte, 1) == 1 && byte == 'i') python.interrupt();
    });
    struct sigaction action {};
    action.sa_handler = ring;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGINT, &action, &before);
  }
  ~Watch() {
    ::sigaction(SIGINT, &before, nullptr);
    const char byte = 'e';
    (void)!::write(writing.get(), &byte, 1);
    thread.join();
    bell = -1;
  }
  Watch(const Watch&) = delete;

  UniqueFd reading;
  UniqueFd writing;
  struct sigaction before {};
  std::thread thread;
};

InterruptOnSigint::InterruptOnSigint(Python python)
    : watch_(std::make_unique<Watch>(std::move(python))) {}

InterruptOnSigint::~InterruptOnSigint() = default;

}  // namespace knee
