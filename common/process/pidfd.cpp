#include "common/process/pidfd.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

// The system calls themselves, not <sys/pidfd.h>: glibc 2.36's lacks extern "C", older ones lack
// the header.
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

namespace knee::process {

Descriptor open_pidfd(pid_t pid) {
  const long fd = ::syscall(SYS_pidfd_open, pid, 0U);  // always close-on-exec
  if (fd >= 0) return Descriptor(static_cast<int>(fd));
  if (errno == ESRCH || errno == EINVAL) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot watch process " + std::to_string(pid));
  }
  return Descriptor();
}

bool send_signal(const Descriptor& pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0U) == 0) return true;
  if (errno == ESRCH) return false;
  throw std::system_error(errno, std::generic_category(), "cannot signal a process");
}

}  // namespace knee::process
