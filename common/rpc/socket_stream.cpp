#include "socket_stream.h"

#include <capnp/message.h>
#include <capnp/rpc.capnp.h>
#include <fcntl.h>
#include <kj/debug.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>

#include "common/base/check.h"

namespace knee::rpc {
namespace {

constexpr size_t kAhead = std::size_t{16} * 1024;
/// Larger writes are sent from where they lie.
constexpr size_t kSmall = std::size_t{16} * 1024;
/// Small writes that wait for a socket with room.
constexpr size_t kMostWaiting = std::size_t{64} * 1024;
constexpr size_t kMostPieces = 64;

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

/// A Unix socket takes more than Linux's 208 KiB then, as far as net.core.wmem_max allows: who
/// sends and who receives a long message wake each other less often. TCP sizes its buffers itself.
void widen(int socket) {
  constexpr int kWanted = 1 << 20;
  const auto option = [socket](int name) {
    int value = 0;
    socklen_t length = sizeof value;
    (void)::getsockopt(socket, SOL_SOCKET, name, &value, &length);
    return value;
  };
  // Linux doubles what it is told, for its own bookkeeping (socket(7)).
  if (option(SO_DOMAIN) == AF_UNIX && option(SO_SNDBUF) < 2 * kWanted)
    (void)::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kWanted, sizeof kWanted);
}

/// Looks at a second descriptor of the socket, since a port observes each only once. What is true
/// already when it begins is told as well.
struct RoomObserver {
  RoomObserver(kj::UnixEventPort& port, int fd)
      : socket(check(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "cannot duplicate a socket")),
        observer(port, socket.get(), kj::UnixEventPort::FdObserver::OBSERVE_WRITE) {}
  UniqueFd socket;
  kj::UnixEventPort::FdObserver observer;
};

size_t size_of(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) {
  size_t size = 0;
  for (const auto piece : pieces) size += piece.size();
  return size;
}

/// Whether this only says that an answer which has come is needed no more; a Finish that cancels a
/// call lets the other side release what the answer would hold. What capnp::writeMessage writes of
/// a small message is a table of segments and a segment.
bool is_finish(kj::ArrayPtr<const kj::ArrayPtr<const kj::byte>> pieces) {
  constexpr size_t kFinish = 4 * sizeof(capnp::word);
  if (pieces.size() != 2 || pieces[0].size() != sizeof(capnp::word) || pieces[1].size() != kFinish)
    return false;
  const kj::ArrayPtr<const capnp::word> segment(
      reinterpret_cast<const capnp::word*>(pieces[1].begin()),
      pieces[1].size() / sizeof(capnp::word));
  capnp::SegmentArrayMessageReader reader(kj::arrayPtr(&segment, 1));
  const auto message = reader.getRoot<capnp::rpc::Message>();
  return message.isFinish() && !message.getFinish().getReleaseResultCaps();
}

}  // namespace

SocketStream::SocketStream(kj::UnixEventPort& port, UniqueFd socket)
    : port_(port),
      socket_(std::move(socket)),
      readable_(port, socket_.get(), kj::UnixEventPort::FdObserver::OBSERVE_READ),
      ahead_(kAhead) {
  const int flags = check(::fcntl(socket_.get(), F_GETFL), "cannot look at a socket");
  check(::fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK), "cannot make a socket non-blocking");
  widen(socket_.get());
  watch_ = watch().eagerlyEvaluate([](kj::Exception&&) {});
}

kj::Own<SocketStream> SocketStream::instead_of(kj::Own<kj::AsyncIoStream> stream,
                                               kj::UnixEventPort& port) {
  if (kj::dynamicDowncastIfAvailable<SocketStream>(*stream) != nullptr)
    return stream.downcast<SocketStream>();
  const int fd = KJ_REQUIRE_NONNULL(stream->getFd(), "not a socket");
  UniqueFd socket(check(::fcntl(fd, F_DUPFD_CLOEXEC, 0), "cannot duplicate a socket"));
  stream = nullptr;
  return kj::heap<SocketStream>(port, std::move(socket));
}

SocketStream::~SocketStream() {
  (void)kj::runCatchingExceptions([this] { flush_some(); });
}

// --- reading

kj::Promise<void> SocketStream::watch() {
  // Asked again before anybody reads, so that no edge is missed.
  return readable_.whenBecomesReadable().then([this] {
    ++edges_;
    KJ_IF_MAYBE (reader, reader_) {
      auto waiting = kj::mv(*reader);
      reader_ = nullptr;
      waiting->fulfill();
    }
    return watch();
  });
}

kj::Promise<void> SocketStream::when_readable() {
  auto paf = kj::newPromiseAndFulfiller<void>();
  reader_ = kj::mv(paf.fulfiller);
  return kj::mv(paf.promise);
}

kj::Promise<size_t> SocketStream::tryRead(void* buffer, size_t min_bytes, size_t max_bytes) {
  return read_more(static_cast<kj::byte*>(buffer), 0, min_bytes, max_bytes);
}

size_t SocketStream::take_buffered(kj::byte* to, size_t most) {
  const size_t count = std::min(most, ahead_end_ - ahead_begin_);
  if (count != 0) std::memcpy(to, &ahead_[ahead_begin_], count);
  ahead_begin_ += count;
  return count;
}

kj::Promise<size_t> SocketStream::read_more(kj::byte* to, size_t done, size_t min_bytes,
                                            size_t max_bytes) {
  for (;;) {
    done += take_buffered(to + done, max_bytes - done);
    if (done >= min_bytes) return done;
    // The buffer is empty now.
    const auto edges = edges_;
    if (edges == empty_at_)
      return when_readable().then([=, this] { return read_more(to, done, min_bytes, max_bytes); });
    iovec places[] = {{to + done, max_bytes - done}, {ahead_.data(), ahead_.size()}};
    const ssize_t count = ::readv(socket_.get(), places, 2);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && would_block(errno)) {
      empty_at_ = edges;
      continue;
    }
    if (count == 0 || (count < 0 && errno == ECONNRESET && reason_ != nullptr)) return end(done);
    if (count < 0) KJ_FAIL_SYSCALL("read from a connection", errno);
    const auto got = static_cast<size_t>(count);
    received_ += got;
    // Less than there was room for: the socket is empty, unless the end has come right behind.
    if (got < places[0].iov_len + places[1].iov_len && !readable_.atEndHint().orDefault(true))
      empty_at_ = edges;
    ahead_begin_ = 0;
    ahead_end_ = got > places[0].iov_len ? got - places[0].iov_len : 0;
    done += got - ahead_end_;
  }
}

kj::Promise<size_t> SocketStream::end(size_t done) {
  KJ_IF_MAYBE (reason, reason_) {
    return (*reason)().then([done] { return done; });
  }
  return done;
}

void SocketStream::abortRead() {
  ::shutdown(socket_.get(), SHUT_RD);
}

// --- writing

kj::Promise<void> SocketStream::write(const void* buffer, size_t size) {
  const auto piece = kj::arrayPtr(static_cast<const kj::byte*>(buffer), size);
  auto pieces = kj::heapArray<kj::ArrayPtr<const kj::byte>>({piece});
  auto written = write(pieces.asPtr());
  return written.attach(kj::mv(pieces));
}

kj::Promise<void> SocketStream::write(Pieces pieces) {
  fail_if_failed();
  const size_t size = size_of(pieces);
  if (size <= kSmall && out_.size() + size <= kMostWaiting) {
    const bool may_wait = most_held_ > 0 * kj::NANOSECONDS && is_finish(pieces);
    for (const auto piece : pieces) out_.insert(out_.end(), piece.begin(), piece.end());
    if (may_wait)
      flush_late();
    else
      flush_soon();
    return kj::READY_NOW;
  }
  // What waits goes first; from here on this write sees to it.
  flush_ = nullptr;
  flushing_ = true;
  return flush().then([this, pieces] { return send(pieces, 0, 0); });
}

void SocketStream::fail_if_failed() {
  KJ_IF_MAYBE (error, failed_) kj::throwFatalException(kj::cp(*error));
}

void SocketStream::flush_soon() {
  if (std::exchange(flushing_, true)) return;
  flush_ = kj::evalLast([this] { return flush(); }).eagerlyEvaluate([this](kj::Exception&& error) {
    failed_ = kj::mv(error);
  });
}

void SocketStream::flush_late() {
  if (std::exchange(late_, true)) return;
  late_flush_ = port_.getTimer()
                    .afterDelay(most_held_)
                    .then([this] {
                      late_ = false;
                      if (has_unsent()) flush_soon();
                    })
                    .eagerlyEvaluate(nullptr);
}

kj::Promise<void> SocketStream::flush() {
  if (!flush_some()) return when_writable().then([this] { return flush(); });
  flushing_ = false;
  if (shut_down_) ::shutdown(socket_.get(), SHUT_WR);
  return kj::READY_NOW;
}

/// False: the socket is full.
bool SocketStream::flush_some() {
  while (out_sent_ < out_.size()) {
    const ssize_t count = ::send(socket_.get(), &out_[out_sent_], out_.size() - out_sent_,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && would_block(errno)) return false;
    if (count < 0) KJ_FAIL_SYSCALL("write to a connection", errno);
    out_sent_ += static_cast<size_t>(count);
  }
  out_.clear();
  out_sent_ = 0;
  // Nobody has to wake for what has gone.
  if (std::exchange(late_, false)) late_flush_ = nullptr;
  return true;
}

kj::Promise<void> SocketStream::send(Pieces pieces, size_t piece, size_t offset) {
  while (piece < pieces.size()) {
    iovec places[kMostPieces];
    size_t count = 0;
    for (size_t i = piece; i < pieces.size() && count < kMostPieces; ++i, ++count) {
      const auto bytes = pieces[i].slice(i == piece ? offset : 0, pieces[i].size());
      places[count] = {const_cast<kj::byte*>(bytes.begin()), bytes.size()};
    }
    msghdr message{};
    message.msg_iov = places;
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && would_block(errno))
      return when_writable().then([=, this] { return send(pieces, piece, offset); });
    if (sent < 0) KJ_FAIL_SYSCALL("write to a connection", errno);
    for (offset += static_cast<size_t>(sent);
         piece < pieces.size() && offset >= pieces[piece].size(); ++piece)
      offset -= pieces[piece].size();
  }
  return kj::READY_NOW;
}

kj::Promise<void> SocketStream::when_writable() {
  auto room = kj::heap<RoomObserver>(port_, socket_.get());
  auto writable = room->observer.whenBecomesWritable();
  return writable.attach(kj::mv(room));
}

void SocketStream::shutdownWrite() {
  shut_down_ = true;
  flush_soon();
}

// --- the socket

void SocketStream::getsockopt(int level, int option, void* value, kj::uint* length) {
  socklen_t size = *length;
  KJ_SYSCALL(::getsockopt(socket_.get(), level, option, value, &size));
  *length = size;
}

void SocketStream::setsockopt(int level, int option, const void* value, kj::uint length) {
  KJ_SYSCALL(::setsockopt(socket_.get(), level, option, value, length));
}

}  // namespace knee::rpc
