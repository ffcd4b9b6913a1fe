#pragma once
#include <knee/remote_stream.h>

#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <streambuf>
#include <string>

#include "client/files/pending.h"

namespace knee::detail {

/// The buffer of a RemoteStream: reads ahead and writes behind. Failures are thrown, as Error, and
/// remembered. One thread.
class StreamBuffer final : public std::streambuf {
 public:
  explicit StreamBuffer(std::shared_ptr<RemoteBytes> bytes) : bytes_(std::move(bytes)) {}

  /// See RemoteStream::close.
  void close();
  /// The first failure; null: none.
  const std::exception_ptr& error() const { return error_; }

 protected:
  int_type underflow() override;
  int_type overflow(int_type byte) override;
  int sync() override;
  pos_type seekoff(off_type offset, std::ios_base::seekdir from,
                   std::ios_base::openmode which) override;
  pos_type seekpos(pos_type position, std::ios_base::openmode which) override;

 private:
  struct Ahead {
    std::size_t asked;
    Pending<std::string> chunk;
  };

  template <class F>
  auto remembering(F action);
  void check();
  std::uint64_t position() const;
  void read_ahead();
  std::string next_chunk();
  void forget_ahead(std::uint64_t offset);
  void send_written();
  void confirm_oldest();
  void flush_written();

  std::shared_ptr<RemoteBytes> bytes_;
  std::exception_ptr error_;

  std::uint64_t start_ = 0;  ///< offset of the first byte of the get or the put area
  std::string chunk_;        ///< what the get area is
  std::string written_;      ///< what the put area is
  std::deque<Ahead> ahead_;
  std::uint64_t ahead_end_ = 0;  ///< offset of what is asked for next
  std::size_t size_ahead_ = kFirstAhead;
  std::size_t most_ahead_ = 1;
  std::deque<Pending<void>> behind_;

  /// One who reads a line of a large file should not get much of it.
  static constexpr std::size_t kFirstAhead = std::size_t{64} << 10;
  /// Chunks under way, either way.
  static constexpr std::size_t kMostUnderWay = 8;
};

}  // namespace knee::detail
