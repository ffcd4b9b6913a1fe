#include "client/files/file_bytes.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "client/files/file_error.h"

namespace knee::detail {

std::size_t read_at(int fd, std::span<char> buffer, std::uint64_t offset, const std::string& path) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const auto count =
        ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (count == 0) break;
    if (count > 0)
      done += static_cast<std::size_t>(count);
    else if (errno != EINTR)
      fail_on_file("read", path);
  }
  return done;
}

void write_at(int fd, std::span<const char> bytes, std::uint64_t offset, const std::string& path) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const auto count =
        ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count >= 0)
      done += static_cast<std::size_t>(count);
    else if (errno != EINTR)
      fail_on_file("write", path);
  }
}

std::uint64_t hash_at(int fd, std::uint64_t most, std::uint64_t offset, const std::string& path,
                      Hasher& hasher) {
  std::vector<char> buffer(std::min<std::uint64_t>(most, std::size_t{256} * 1024));
  std::uint64_t done = 0;
  while (done < most) {
    const auto wanted =
        std::span(buffer).first(std::min<std::uint64_t>(most - done, buffer.size()));
    const auto count = read_at(fd, wanted, offset + done, path);
    hasher.update(std::as_bytes(wanted.first(count)));
    done += count;
    if (count < wanted.size()) break;
  }
  return done;
}

std::string raw(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), Digest::kSize};
}

}  // namespace knee::detail
