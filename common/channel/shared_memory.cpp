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
  const auto bytes = map_all(fd.get(), size);
  return {std::move(fd), bytes};
}

SharedMemory SharedMemory::map(UniqueFd fd, std::size_t size) {
  struct stat status {};
  check(::fstat(fd.get(), &status), "cannot look at shared memory");
  const int seals = check(::fcntl(fd.get(), F_GET_SEALS), "shared memory is not a memfd");
  if (!(seals & F_SEAL_SHRINK)) throw std::runtime_error("shared memory is not sealed");
  const auto actual = static_cast<std::size_t>(status.st_size);
  if (size != 0 && actual != size) throw std::runtime_error("shared memory has the wrong size");
  const auto bytes = map_all(fd.get(), actual);
  return {std::move(fd), bytes};
}

void SharedMemory::expect_reading() const {
#ifdef MADV_POPULATE_READ
  if (!bytes_.empty()) (void)::madvise(bytes_.data(), bytes_.size(), MADV_POPULATE_READ);
#endif
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
    : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, {})) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

}  // namespace knee::channel
