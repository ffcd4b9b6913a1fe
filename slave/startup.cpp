#include "startup.h"

#include <kj/async-unix.h>
#include <nss.h>
#include <signal.h>
#include <sys/resource.h>

namespace knee::slave {

void prepare_process() {
  kj::UnixEventPort::captureSignal(SIGTERM);
  kj::UnixEventPort::captureSignal(SIGINT);
  // This file is static: other ways to look up names would load libraries of whatever glibc the
  // machine has into it. These two are part of it (glibc 2.34 and later).
  __nss_configure_lookup("hosts", "files dns");
  // A worker costs about six descriptors; the usual soft limit of 1024 is meant for select().
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

}  // namespace knee::slave
