#include "startup.h"

#include <kj/async-unix.h>
#include <nss.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>

namespace knee::slave {
namespace {

/// Workers start with a few high numbers open (program/launch.h).
constexpr std::uint64_t kUsualFiles = 1024;

}  // namespace

std::uint64_t prepare_process() {
  kj::UnixEventPort::captureSignal(SIGTERM);
  kj::UnixEventPort::captureSignal(SIGINT);
  // This file is static: other ways to look up names would load libraries of whatever glibc the
  // machine has into it. These two are part of it (glibc 2.34 and later).
  __nss_configure_lookup("hosts", "files dns");
  // A worker costs about six descriptors; the usual soft limit of 1024 is meant for select().
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return kUsualFiles;
  const auto began_with = files.rlim_cur;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  return std::min<std::uint64_t>(std::max<std::uint64_t>(began_with, kUsualFiles), files.rlim_max);
}

}  // namespace knee::slave
