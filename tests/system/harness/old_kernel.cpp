#include "tests/system/harness/old_kernel.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <filesystem>

namespace knee::test {
namespace {

// The same on all architectures, and not in the headers of old systems.
constexpr unsigned kPidfdSendSignal = 424;
constexpr unsigned kPidfdOpen = 434;
constexpr unsigned kCloseRange = 436;

bool forbid_new_calls() {
  constexpr unsigned kNoSuchCall = SECCOMP_RET_ERRNO | ENOSYS;
  std::array<sock_filter, 6> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kPidfdSendSignal, 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kPidfdOpen, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kCloseRange, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, kNoSuchCall),
  }};
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
         ::syscall(kPidfdOpen, ::getpid(), 0) == -1 && errno == ENOSYS;
}

}  // namespace

std::vector<std::string> on_an_old_kernel() {
  return {std::filesystem::read_symlink("/proc/self/exe"), kOnAnOldKernel};
}

int run_on_an_old_kernel(char** arguments) {
  if (!forbid_new_calls()) {
    std::perror("cannot forbid system calls");
    return 126;
  }
  ::execvp(arguments[0], arguments);
  std::perror(arguments[0]);
  return 127;
}

}  // namespace knee::test
