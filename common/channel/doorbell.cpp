#include "doorbell.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <stdexcept>

#include "common/base/check.h"

namespace knee::channel {
namespace {

/// A memfd costs a descriptor of ours: while so many have not been taken, more are left in the
/// socket, and the other side soon has to wait.
constexpr std::size_t kMaxWaitingValues = 256;

/// Of memory for results; more are of no use, and a task that returns little looks at none.
constexpr std::size_t kMaxLoans = 8;

/// Taken in one go: who rings without end must not keep a slave from everything else.
constexpr int kMostMessages = 4096;

constexpr std::size_t kMaxSetup = std::size_t{128} * 1024;

ssize_t send_with_fd(int socket, std::span<const std::byte> bytes, int fd, int flags) {
  iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

/// Returns recvmsg's result; all but the first passed descriptor are closed.
ssize_t receive_with_fd(int socket, std::span<std::byte> bytes, UniqueFd& fd, int flags) {
  iovec piece{bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return size;
  // Taken for the bytes alone, a value would be one that is not wanted any more.
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    errno = EMFILE;
    throw_errno("cannot take a value that was passed");
  }
  for (cmsghdr* h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int passed = -1;
      std::memcpy(&passed, CMSG_DATA(h) + i * sizeof(int), sizeof passed);
      UniqueFd owned(passed);
      if (!fd) fd = std::move(owned);
    }
  }
  return size;
}

bool hung_up(int socket) {
  pollfd state{socket, 0, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLHUP) != 0;
}

}  // namespace

std::pair<UniqueFd, UniqueFd> Doorbell::make_pair() {
  int ends[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "cannot make a socket pair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void Doorbell::ring() {
  const char bell = 0;
  // Failure is either "full", and then bells are waiting, or "gone", and then listen() will say so.
  (void)::send(socket_.get(), &bell, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool Doorbell::send_value(std::uint64_t id, int memfd) {
  const auto bytes = std::as_bytes(std::span(&id, 1));
  if (send_with_fd(socket_.get(), bytes, memfd, MSG_DONTWAIT) >= 0) return true;
  // The last three: this user has many descriptors on their way, or the kernel is short of memory.
  if (errno == EAGAIN || errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM) return false;
  throw_errno("cannot pass a value over the channel");
}

void Doorbell::forget_value(std::uint64_t id) {
  // Failure is either "full", and then the value is kept until the other side ends, or "gone".
  (void)::send(socket_.get(), &id, sizeof id, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool Doorbell::lend(std::uint32_t number, int memfd) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  return send_with_fd(socket_.get(), bytes, memfd, MSG_DONTWAIT) >= 0;
}

UniqueFd Doorbell::take_lent(std::uint32_t number) {
  UniqueFd lent;
  while (!loans_.empty() && static_cast<std::int32_t>(number - loans_.front().record) >= 0) {
    auto loan = std::move(loans_.front());
    loans_.pop_front();
    if (loan.record == number) lent = std::move(loan.memfd);
  }
  return lent;
}

Doorbell::Heard Doorbell::listen() {
  auto all = Heard::nothing;
  for (int messages = 0; messages < kMostMessages && values_.size() < kMaxWaitingValues;
       ++messages) {
    const auto heard = take_message(MSG_DONTWAIT);
    if (heard == Heard::closed) return heard;
    if (heard == Heard::nothing) break;
    all = heard;
  }
  return all;
}

Doorbell::Heard Doorbell::take_message(int flags) {
  std::uint64_t id = 0;
  UniqueFd fd;
  ssize_t size = 0;
  do {
    size = receive_with_fd(socket_.get(), std::as_writable_bytes(std::span(&id, 1)), fd, flags);
    // Said once when the other side ended with messages of ours unread; its own may still be here.
  } while (size < 0 && errno == ECONNRESET);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Heard::nothing;
  if (size == 0 && !hung_up(socket_.get()))
    throw std::runtime_error("channel: an empty message on the doorbell's socket");
  if (size <= 0) return Heard::closed;
  if (size == sizeof(Loan::record) && fd) {
    if (loans_.size() >= kMaxLoans) loans_.pop_front();
    std::uint32_t record = 0;
    std::memcpy(&record, &id, sizeof record);
    loans_.push_back({record, std::move(fd)});
  } else if (size == sizeof id && !fd) {
    values_.erase(id);
  } else if (size == sizeof id) {
    values_.insert_or_assign(id, std::move(fd));
  }
  return Heard::something;
}

std::optional<UniqueFd> Doorbell::take_value(std::uint64_t id) {
  const auto found = values_.find(id);
  if (found == values_.end()) return std::nullopt;
  UniqueFd fd = std::move(found->second);
  values_.erase(found);
  return fd;
}

void Doorbell::send_setup(std::span<const std::byte> message, int memfd) {
  if (message.size() > kMaxSetup)
    throw std::runtime_error("the worker's setup message is too long");
  if (send_with_fd(socket_.get(), message, memfd, 0) < 0)
    throw_errno("cannot send the worker its setup");
}

std::pair<std::string, UniqueFd> Doorbell::receive_setup() {
  std::string message(kMaxSetup, '\0');
  UniqueFd fd;
  const ssize_t size =
      receive_with_fd(socket_.get(), std::as_writable_bytes(std::span(message)), fd, 0);
  if (size < 0) throw_errno("cannot receive the worker's setup");
  if (size == 0 || !fd) throw std::runtime_error("the slave is gone before the worker's setup");
  message.resize(static_cast<std::size_t>(size));
  return {std::move(message), std::move(fd)};
}

}  // namespace knee::channel
