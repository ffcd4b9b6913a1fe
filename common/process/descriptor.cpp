#include "common/process/descriptor.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <system_error>
#include <vector>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

namespace knee::process {
namespace {

bool close_range(unsigned first, unsigned last) {
  return first > last || ::syscall(SYS_close_range, first, last, 0U) == 0;
}

/// False where /proc is not mounted.
bool close_listed(int kept) {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return false;
  std::vector<int> found;  // closing while reading the folder would disturb the reading
  while (const dirent* entry = ::readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    if (fd > 2 && fd != kept && fd != ::dirfd(folder)) found.push_back(fd);
  }
  ::closedir(folder);
  for (const int fd : found) ::close(fd);
  return true;
}

void close_one_by_one(int kept) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  constexpr rlim_t kMost = 1 << 20;  // the kernel's default nr_open
  const int end = static_cast<int>(limit.rlim_cur < kMost ? limit.rlim_cur : kMost);
  for (int fd = 3; fd < end; ++fd) {
    if (fd != kept) ::close(fd);
  }
}

}  // namespace

void Descriptor::reset() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void close_all_but(int kept) {
  const auto middle = static_cast<unsigned>(kept);
  if (kept > 2 && close_range(3, middle - 1) && close_range(middle + 1, ~0U)) return;
  if (!close_listed(kept)) close_one_by_one(kept);
}

Descriptor open_empty_input() {
  if (Descriptor null{::open("/dev/null", O_RDONLY | O_CLOEXEC)}) return null;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot make an empty standard input");
  }
  ::close(ends[1]);
  return Descriptor(ends[0]);
}

void fill_standard_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    const int filler = ::open("/dev/null", O_RDWR);
    if (filler >= 0 && filler != fd) ::close(filler);
  }
}

}  // namespace knee::process
