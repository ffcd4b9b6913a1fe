#include "slave/store/seal.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/digest.h"

namespace knee::slave {
namespace {

std::uint64_t nanoseconds(const timespec& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

struct stat look_at(const std::filesystem::path& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) throw_errno("cannot look at " + path.string());
  return status;
}

/// One member of a folder as bytes: its name, its mode and, unless it is a folder, its seal.
std::string member_text(const std::string& name, const struct stat& status) {
  std::string text = name + '\0' + std::to_string(status.st_mode);
  // Making and removing files next to each other changes a folder's times; its members say enough.
  if (S_ISDIR(status.st_mode)) return text;
  for (std::uint64_t word : seal_of(status)) text += ' ' + std::to_string(word);
  return text;
}

std::uint64_t read_boot() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::uint64_t number = 0;
  int digits = 0;
  for (char c; digits < 16 && file.get(c);) {
    if (c == '-') continue;
    number = number << 4 | static_cast<std::uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    ++digits;
  }
  if (digits == 16 && number != 0) return number;
  std::random_device random;
  return (std::uint64_t{random()} << 32 | random()) | 1;
}

}  // namespace

Seal seal_of(const struct stat& status) {
  return {status.st_ino, static_cast<std::uint64_t>(status.st_size), nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

FolderSeal seal_of_folder(const std::filesystem::path& folder) {
  FolderSeal result;
  std::vector<std::string> members;
  for (const auto& member : std::filesystem::recursive_directory_iterator(folder)) {
    const struct stat status = look_at(member.path());
    members.push_back(member_text(member.path().lexically_relative(folder).string(), status));
    result.disk_bytes += disk_bytes_of(static_cast<std::uint64_t>(status.st_size));
  }
  std::sort(members.begin(), members.end());
  Hasher hasher;
  for (const std::string& text : members)
    hasher.update(std::as_bytes(std::span(text.c_str(), text.size() + 1)));
  const Digest digest = hasher.finish();
  std::memcpy(result.seal.data(), digest.bytes.data(), sizeof result.seal);
  return result;
}

std::uint64_t disk_bytes_of(std::uint64_t size) {
  constexpr std::uint64_t kBlock = 4096;
  // Sizes come from the network: one that cannot be must not turn into a small one.
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max() / kBlock * kBlock;
  if (size > kMost) return kMost;
  return (size / kBlock + (size % kBlock != 0)) * kBlock;
}

std::uint64_t this_boot() {
  static const std::uint64_t boot = read_boot();
  return boot;
}

}  // namespace knee::slave
