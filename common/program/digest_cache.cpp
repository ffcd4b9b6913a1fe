#include "common/program/digest_cache.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace knee::program {
namespace {

constexpr const char* kFirstLine = "knee digests 1";
constexpr std::uintmax_t kMostBytes = 4 << 20;  // 4096 lines are under 1 MiB
constexpr std::uint64_t kNanoseconds = 1'000'000'000;

// Time stamps are only as fine as the file system's clock: a file that changed this recently might
// change again and keep its stamps.
constexpr std::uint64_t kSettledAfter = 2 * kNanoseconds;

std::uint64_t nanoseconds(const timespec& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * kNanoseconds +
         static_cast<std::uint64_t>(time.tv_nsec);
}

bool write_all(int fd, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

// Readers see the old file or the new one, whole.
void replace_file(const std::string& path, const std::string& text) {
  std::string temporary = path + ".XXXXXX";
  const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return;
  if (!write_all(fd.get(), text) || ::rename(temporary.c_str(), path.c_str()) != 0)
    ::unlink(temporary.c_str());
}

}  // namespace

DigestCache::DigestCache(std::string path) : path_(std::move(path)) {
  read();
}

std::string DigestCache::default_path() {
  // The XDG rules: a relative path in the variable counts as none.
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && cache[0] == '/')
    return std::string(cache) + "/knee/digests";
  if (const char* home = std::getenv("HOME"); home && home[0] == '/')
    return std::string(home) + "/.cache/knee/digests";
  return {};
}

Digest DigestCache::digest_of(int fd, const std::string& name) {
  const Key key = key_of(fd, name);
  if (const auto known = entries_.find(key); known != entries_.end()) {
    const Digest digest = known->second;
    std::erase(order_, key);
    order_.push_back(key);
    return digest;
  }
  const Digest digest = digest_of_file(fd);
  ++hashed_;
  if (key_of(fd, name) != key)
    throw std::runtime_error("'" + name + "' changed while it was read; start again");
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  if (std::max(key[3], key[4]) + kSettledAfter < nanoseconds(now)) {
    add(key, digest);
    changed_ = true;
  }
  return digest;
}

void DigestCache::save() {
  if (path_.empty() || !changed_) return;
  changed_ = false;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
  // What others wrote since is kept, before ours in age.
  DigestCache merged(path_);
  for (const Key& key : order_) merged.add(key, entries_.at(key));
  replace_file(path_, merged.text());
}

DigestCache::Key DigestCache::key_of(int fd, const std::string& name) {
  struct stat status;
  if (::fstat(fd, &status) != 0) throw_errno("cannot examine '" + name + "'");
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
          nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

void DigestCache::read() {
  if (path_.empty()) return;
  std::error_code error;
  const auto size = std::filesystem::file_size(path_, error);  // fails unless a regular file
  if (error || size > kMostBytes) return;
  std::ifstream file(path_);
  std::string line;
  if (!std::getline(file, line) || line != kFirstLine) return;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    Key key{};
    for (std::uint64_t& number : key) words >> number;
    std::string hex;
    words >> hex;
    if (const auto digest = Digest::from_hex(hex); words && digest) add(key, *digest);
  }
}

void DigestCache::add(const Key& key, const Digest& digest) {
  if (!entries_.insert_or_assign(key, digest).second) std::erase(order_, key);
  order_.push_back(key);
}

std::string DigestCache::text() const {
  std::ostringstream out;
  out << kFirstLine << '\n';
  const std::size_t skipped = order_.size() - std::min(order_.size(), kMostEntries);
  for (auto key = order_.begin() + static_cast<std::ptrdiff_t>(skipped); key != order_.end();
       ++key) {
    for (const std::uint64_t number : *key) out << number << ' ';
    out << entries_.at(*key).hex() << '\n';
  }
  return out.str();
}

}  // namespace knee::program
