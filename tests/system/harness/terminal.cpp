#include "terminal.h"

#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <stdexcept>

#include "common/base/check.h"
#include "tests/system/harness/wait_until.h"

namespace knee::test {

Terminal::Terminal() {
  int us = -1;
  int them = -1;
  const winsize size{.ws_row = 24, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
  check(::openpty(&us, &them, nullptr, nullptr, &size), "cannot open a terminal");
  us_.reset(us);
  them_.reset(them);
  check(::fcntl(us, F_SETFL, O_NONBLOCK), "cannot make a terminal non-blocking");
}

std::string Terminal::name() const {
  return ::ttyname(them_.get());
}

unsigned char Terminal::key(int which) const {
  termios terminal{};
  check(::tcgetattr(them_.get(), &terminal), "cannot look at a terminal");
  return terminal.c_cc[which];
}

void Terminal::type(const std::string& text) const {
  if (::write(us_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error("a terminal did not take what was typed");
}

bool Terminal::wait_for(const std::string& text) {
  return wait_until([&] {
    char some[4096];
    for (ssize_t count = 0; (count = ::read(us_.get(), some, sizeof some)) > 0;)
      seen_.append(some, static_cast<std::size_t>(count));
    const auto place = seen_.find(text);
    if (place == std::string::npos) return false;
    seen_.erase(0, place + text.size());
    return true;
  });
}

}  // namespace knee::test
