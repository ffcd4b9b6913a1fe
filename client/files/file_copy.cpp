#include "client/files/file_copy.h"

#include <algorithm>

#include "client/files/limits.h"

namespace knee::detail {
namespace {

/// Chunks that are read or written: what a connection of 1 Gbit/s holds in 100 ms.
constexpr std::size_t kUnderWay = 16;
/// Bytes to be hashed in one call, during which the process there does nothing else.
constexpr std::uint64_t kHashedAtOnce = 64 * kChunk;

void call_user(const std::function<void()>& report) {
  try {
    report();
  } catch (...) {
    throw ThrownByUser{std::current_exception()};
  }
}

}  // namespace

FileCopy::FileCopy(FileSide& from, const std::string& source, FileSide& to,
                   const std::string& target)
    : from_(from),
      to_(to),
      source_(from.said([&] { return from.service().call<&FileService::copy_from>(source); })),
      part_(to.said([&] { return to.service().call<&FileService::copy_to>(target); })) {}

FileCopy::~FileCopy() {
  try {
    // In its turn, so that a copy that comes after it finds it done.
    const Pending<void> left = part_.call<&PartialFile::leave>();
  } catch (...) {
  }
}

void FileCopy::run(bool sync, const std::function<void()>& report) {
  begin();
  call_user(report);
  stream(report);
  const auto digest = from_.said([&] { return source_.call<&SourceFile::finish>().get(); });
  try {
    to_.said([&] { return part_.call<&PartialFile::finish>(digest, mode_, sync).get(); });
  } catch (const Error& error) {
    if (error.kind() == Error::Kind::exception) part_path_.clear();  // it may have been removed
    throw;
  }
  call_user(report);
}

void FileCopy::begin() {
  Pending<SourceFile::Begin> source = source_.call<&SourceFile::begin>();
  Pending<PartialFile::Begin> part = part_.call<&PartialFile::begin>();
  const auto from = from_.said([&] { return source.get(); });
  const auto there = to_.said([&] { return part.get(); });
  standing_.size = from.size;
  mode_ = from.mode;
  part_path_ = to_.name_of(there.path);
  if (there.length != 0) compare(there.length);
}

/// Goes on from what is there if it is the beginning of the source, and else from nothing.
void FileCopy::compare(std::uint64_t length) {
  std::uint64_t skipped = 0;
  if (length <= standing_.size) {
    while (skipped < length) {
      const auto step = std::min(length - skipped, kHashedAtOnce);
      Pending<std::uint64_t> source = source_.call<&SourceFile::skip>(step);
      Pending<std::uint64_t> part = part_.call<&PartialFile::skip>(step);
      const auto hashed = from_.said([&] { return source.get(); });
      if (hashed != to_.said([&] { return part.get(); }) || hashed == 0) break;
      skipped += hashed;
    }
  }
  if (skipped == length) {
    Pending<std::string> source = source_.call<&SourceFile::digest>();
    Pending<std::string> part = part_.call<&PartialFile::digest>();
    const auto digest = from_.said([&] { return source.get(); });
    if (digest == to_.said([&] { return part.get(); })) {
      standing_.resumed = length;
      return;
    }
  }
  from_.said([&] { return source_.call<&SourceFile::rewind>().get(); });
  to_.said([&] { return part_.call<&PartialFile::rewind>().get(); });
}

void FileCopy::stream(const std::function<void()>& report) {
  std::deque<Pending<std::string>> reads;
  bool ended = false;
  while (!ended || !writes_.empty()) {
    while (!ended && reads.size() + writes_.size() < kUnderWay)
      reads.push_back(
          from_.said([&] { return source_.call<&SourceFile::read>(std::uint64_t{kChunk}); }));
    if (!ended) {
      const auto chunk = from_.said([&] { return reads.front().get(); });
      reads.pop_front();
      ended = chunk.empty();
      if (!ended) hand_over(chunk);
    }
    while (!writes_.empty() &&
           (ended || writes_.front().ended.ready() || writes_.size() >= kUnderWay / 2))
      confirm_one(report);
  }
}

void FileCopy::hand_over(const std::string& chunk) {
  writes_.push_back(
      {to_.said([&] { return part_.call<&PartialFile::write>(chunk); }), chunk.size()});
}

void FileCopy::confirm_one(const std::function<void()>& report) {
  to_.said([&] { return writes_.front().ended.get(); });
  standing_.travelled += writes_.front().size;
  writes_.pop_front();
  call_user(report);
}

}  // namespace knee::detail
