#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "common/base/digest.h"

/// Reading and writing whole pieces. Both throw as fail_on_file.
namespace knee::detail {

/// Reads from there until the buffer is full or the file ends; gives how much was read.
std::size_t read_at(int fd, std::span<char> buffer, std::uint64_t offset, const std::string& path);

void write_at(int fd, std::span<const char> bytes, std::uint64_t offset, const std::string& path);

/// Adds up to `most` bytes of the file from there on to the hash; gives how many there were.
std::uint64_t hash_at(int fd, std::uint64_t most, std::uint64_t offset, const std::string& path,
                      Hasher& hasher);

/// A digest as its bytes, as it travels.
std::string raw(const Digest& digest);

}  // namespace knee::detail
