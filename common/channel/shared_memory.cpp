#include "shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

#include "common/base/check.h"

namespace knee::channel {
namespace {

std::span<std::byte> map_all(int fd, std::size_t size) {
  if (size == 0) return {};
  void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) throw_errno("cannot map shared memory");
  return {static_cast<std::byte*>(address), size};
}

struct stat status_of(int fd) {
  struct stat status {};
  check(::fstat(fd, &status), "cannot look at shared memory");
  return status;
}

}  // namespace

UniqueFd SharedMemory::create_unmapped(const char* name, std::size_t size) {
  UniqueFd fd(
      check(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "cannot make shared memory"));
  check(::ftruncate(fd.get(), static_cast<off_t>(size)), "cannot size shared memory");
  check(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
        "cannot seal shared memory");
  return fd;
}

SharedMemory SharedMemory::create(const char* name, std::size_t size) {
  UniqueFd fd = create_unmapped(name, size);
  const auto mapped = map_all(fd.get(), size);
  return {std::move(fd), mapped, size};
}

SharedMemory SharedMemory::map(UniqueFd fd, std::size_t size) {
  SharedMemory memory = map(std::move(fd));
  if (size > memory.capacity())
    throw std::runtime_error("shared memory is shorter than its content");
  memory.resize(size);
  return memory;
}

SharedMemory SharedMemory::map(UniqueFd fd) {
  const int seals = check(::fcntl(fd.get(), F_GET_SEALS), "shared memory is not a memfd");
  if (!(seals & F_SEAL_SHRINK)) throw std::runtime_error("shared memory is not sealed");
  const std::size_t size = size_of(fd.get());
  const auto mapped = map_all(fd.get(), size);
  return {std::move(fd), mapped, size};
}

void SharedMemory::discard() const {
  (void)::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                    static_cast<off_t>(capacity()));
}

void SharedMemory::expect_reading() const {
#ifdef MADV_POPULATE_READ
  if (size_ != 0) (void)::madvise(mapped_.data(), size_, MADV_POPULATE_READ);
#endif
}

bool is_same(int one_memfd, int other_memfd) {
  const auto one = status_of(one_memfd);
  const auto other = status_of(other_memfd);
  return one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

std::size_t size_of(int memfd) {
  return static_cast<std::size_t>(status_of(memfd).st_size);
}

void write_at(int memfd, std::span<const std::byte> bytes, std::size_t offset) {
  while (!bytes.empty()) {
    const auto count =
        check(::pwrite(memfd, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              "cannot write to shared memory (is memory short?)");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::size_t>(count);
  }
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      mapped_(std::exchange(other.mapped_, {})),
      size_(std::exchange(other.size_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(mapped_, other.mapped_);
  std::swap(size_, other.size_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (!mapped_.empty()) ::munmap(mapped_.data(), mapped_.size());
}

}  // namespace knee::channel
