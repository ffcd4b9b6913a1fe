#include "client/files/stream_buffer.h"

#include <algorithm>
#include <utility>

#include "client/files/file_side.h"
#include "client/files/limits.h"

namespace knee::detail {

/// What `action` throws is the stream's failure, if it is the first, and goes on in short.
template <class F>
auto StreamBuffer::remembering(F action) {
  try {
    return action();
  } catch (const Error& error) {
    const auto thrown = std::make_exception_ptr(in_short(error));
    if (!error_) error_ = thrown;
    std::rethrow_exception(thrown);
  } catch (...) {
    if (!error_) error_ = std::current_exception();
    throw;
  }
}

void StreamBuffer::check() {
  if (error_) std::rethrow_exception(error_);
}

/// Of the next byte, whichever way.
std::uint64_t StreamBuffer::position() const {
  const auto passed = pbase() != nullptr ? pptr() - pbase() : gptr() - eback();
  return start_ + static_cast<std::uint64_t>(passed);
}

// --- reading

StreamBuffer::int_type StreamBuffer::underflow() {
  if (gptr() != egptr()) return traits_type::to_int_type(*gptr());
  return remembering([&] {
    check();
    if (pbase() != nullptr) flush_written();
    start_ = position();
    setg(nullptr, nullptr, nullptr);
    chunk_ = next_chunk();
    setg(chunk_.data(), chunk_.data(), chunk_.data() + chunk_.size());
    return chunk_.empty() ? traits_type::eof() : traits_type::to_int_type(chunk_.front());
  });
}

std::string StreamBuffer::next_chunk() {
  if (ahead_.empty()) ahead_end_ = start_;
  read_ahead();
  Ahead next = std::move(ahead_.front());
  ahead_.pop_front();
  auto chunk = next.chunk.get();
  if (chunk.empty() || (bytes_->seekable() && chunk.size() < next.asked)) {
    // The end, for now: what was asked for behind it is nothing, or belongs elsewhere.
    forget_ahead(start_ + chunk.size());
  } else if (bytes_->seekable()) {
    most_ahead_ = std::min(most_ahead_ + 1, kMostUnderWay);
    size_ahead_ = std::min(2 * size_ahead_, kChunk);
    read_ahead();
  }  // else nothing may be there before something is written
  return chunk;
}

void StreamBuffer::read_ahead() {
  while (ahead_.size() < most_ahead_) {
    ahead_.push_back({size_ahead_, bytes_->read(ahead_end_, size_ahead_)});
    ahead_end_ += size_ahead_;
  }
}

void StreamBuffer::forget_ahead(std::uint64_t offset) {
  ahead_.clear();
  ahead_end_ = offset;
  size_ahead_ = kFirstAhead;
  most_ahead_ = 1;
}

// --- writing

StreamBuffer::int_type StreamBuffer::overflow(int_type byte) {
  return remembering([&] {
    check();
    if (pbase() == nullptr) {
      start_ = position();
      setg(nullptr, nullptr, nullptr);
      chunk_.clear();
      forget_ahead(start_);
      written_.resize(kFirstAhead);
    } else {
      send_written();
      written_.resize(std::min(2 * written_.size(), kChunk));
    }
    setp(written_.data(), written_.data() + written_.size());
    if (traits_type::eq_int_type(byte, traits_type::eof())) return traits_type::not_eof(byte);
    return sputc(traits_type::to_char_type(byte));
  });
}

/// Sends what is in the put area, and leaves it empty.
void StreamBuffer::send_written() {
  const auto size = static_cast<std::size_t>(pptr() - pbase());
  if (size != 0) {
    while (!behind_.empty() && (behind_.front().ready() || behind_.size() >= kMostUnderWay))
      confirm_oldest();
    behind_.push_back(bytes_->write(start_, std::string(pbase(), size)));
  }
  start_ += size;
  setp(pbase(), epptr());
}

void StreamBuffer::confirm_oldest() {
  auto oldest = std::move(behind_.front());
  behind_.pop_front();
  oldest.get();
}

/// All that was written is there; there is no put area any more.
void StreamBuffer::flush_written() {
  if (pbase() == nullptr) return;
  send_written();
  setp(nullptr, nullptr);
  while (!behind_.empty()) confirm_oldest();
}

int StreamBuffer::sync() {
  return remembering([&] {
    check();
    if (pbase() == nullptr) return 0;
    flush_written();
    bytes_->flush().get();
    return 0;
  });
}

void StreamBuffer::close() {
  remembering([&] {
    check();
    flush_written();
    forget_ahead(position());
    bytes_->close().get();
  });
}

// --- seeking

StreamBuffer::pos_type StreamBuffer::seekoff(off_type offset, std::ios_base::seekdir from,
                                             std::ios_base::openmode which) {
  const auto here = static_cast<off_type>(position());
  if (from == std::ios_base::cur) {
    if (offset == 0) return here;
    return seekpos(here + offset, which);
  }
  if (from == std::ios_base::beg) return seekpos(offset, which);
  if (!bytes_->seekable()) return pos_type(off_type(-1));
  const auto size = remembering([&] {
    check();
    flush_written();
    return bytes_->size().get();
  });
  return seekpos(static_cast<off_type>(size) + offset, which);
}

StreamBuffer::pos_type StreamBuffer::seekpos(pos_type position, std::ios_base::openmode) {
  const auto wanted = static_cast<off_type>(position);
  if (wanted < 0 || !bytes_->seekable()) return pos_type(off_type(-1));
  const auto offset = static_cast<std::uint64_t>(wanted);
  if (pbase() == nullptr && offset >= start_ && offset <= start_ + chunk_.size()) {
    setg(chunk_.data(), chunk_.data() + (offset - start_), chunk_.data() + chunk_.size());
    return position;
  }
  remembering([&] {
    check();
    flush_written();
  });
  setg(nullptr, nullptr, nullptr);
  chunk_.clear();
  start_ = offset;
  forget_ahead(offset);
  return position;
}

}  // namespace knee::detail
