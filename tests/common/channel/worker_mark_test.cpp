#include "common/channel/worker_mark.h"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/socket.h>

#include "common/base/unique_fd.h"

using namespace knee;
using channel::check_worker_mark;

namespace {

std::string mark(int fd, ino_t inode) {
  return std::to_string(fd) + ":" + std::to_string(inode);
}

ino_t inode_of(int fd) {
  struct stat status {};
  REQUIRE(::fstat(fd, &status) == 0);
  return status.st_ino;
}

}  // namespace

TEST_CASE("a worker's mark names its socket, and nothing else passes for it") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd one(ends[0]);
  const UniqueFd other(ends[1]);
  CHECK(check_worker_mark(mark(one.get(), inode_of(one.get()))) == one.get());

  // As in a child of a worker that has opened a socket of its own.
  CHECK_FALSE(check_worker_mark(mark(one.get(), inode_of(other.get()))).has_value());
  const UniqueFd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK_FALSE(check_worker_mark(mark(file.get(), inode_of(file.get()))).has_value());
  CHECK_FALSE(check_worker_mark(mark(1'000'000, inode_of(one.get()))).has_value());
  for (const char* rubbish : {"", ":", "3", "3:", ":7", "x:y"})
    CHECK_FALSE(check_worker_mark(rubbish).has_value());
}
