#include "common/process/pidfd.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <system_error>

#include "witness.h"

using namespace knee::process;
using namespace knee::test;

TEST_CASE("a pidfd signals its process and becomes readable when that ends") {
  const pid_t child = ::fork();
  if (child == 0) {
    while (true) ::pause();
  }
  const auto pidfd = open_pidfd(child);
  if (!pidfd) {  // a kernel before 5.3
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return;
  }
  CHECK((::fcntl(pidfd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(send_signal(pidfd, SIGKILL));
  CHECK(wait_readable(pidfd.get()));
  CHECK(::waitpid(child, nullptr, 0) == child);
  CHECK_FALSE(send_signal(pidfd, SIGKILL));
  CHECK_THROWS_AS(open_pidfd(child), std::system_error);
}
