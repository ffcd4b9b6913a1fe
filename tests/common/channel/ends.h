#pragma once
#include <chrono>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "common/channel/layout.h"
#include "common/channel/slave_end.h"
#include "common/channel/worker_end.h"

namespace knee::test {

inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

inline std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A number and some filling, so that records differ in length.
inline std::vector<std::uint64_t> numbered(std::uint64_t number, std::size_t words = 1) {
  std::vector<std::uint64_t> record(words, number);
  return record;
}

inline std::span<const std::byte> bytes_of(const std::vector<std::uint64_t>& words) {
  return std::as_bytes(std::span(words));
}

/// The number of a record made by `numbered`; UINT64_MAX if its words are not all the same.
inline std::uint64_t number_in(std::span<const std::byte> record) {
  std::uint64_t first = 0;
  if (record.size() < sizeof first || record.size() % sizeof first != 0) return UINT64_MAX;
  std::memcpy(&first, record.data(), sizeof first);
  for (std::size_t at = 0; at < record.size(); at += sizeof first) {
    std::uint64_t word = 0;
    std::memcpy(&word, &record[at], sizeof word);
    if (word != first) return UINT64_MAX;
  }
  return first;
}

/// Both ends of one channel, in one process.
struct Ends {
  Ends() : worker((slave.send_setup(bytes_of(std::string("setup"))), slave.take_worker_socket())) {}
  channel::SlaveEnd slave;
  channel::WorkerEnd worker;
};

}  // namespace knee::test
