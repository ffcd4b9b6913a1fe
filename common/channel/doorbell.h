#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "common/base/unique_fd.h"

namespace knee::channel {

/// One end of the SOCK_SEQPACKET pair beside the shared memory: bells, memfds of values, memory
/// lent for results, and the news that the other side is gone. Not thread-safe.
class Doorbell {
 public:
  explicit Doorbell(UniqueFd socket) : socket_(std::move(socket)) {}

  /// The two ends of a new pair, both close-on-exec.
  static std::pair<UniqueFd, UniqueFd> make_pair();

  /// Wakes the other side if it waits. Never blocks: a full socket holds bells enough.
  void ring();

  /// Passes a memfd. False if the socket is full (try again when it is writable), or the kernel
  /// takes no more descriptors for now. Throws std::system_error if the other side is gone.
  bool send_value(std::uint64_t id, int memfd);

  /// Lets the other side close a value it was passed and has not taken.
  void forget_value(std::uint64_t id);

  /// Lends a memfd for the result of record `number`. False: the socket is full, or the other side
  /// is gone.
  bool lend(std::uint32_t number, int memfd);
  /// What was lent for record `number`, among all that has arrived; what was lent for an earlier
  /// one is closed.
  UniqueFd take_lent(std::uint32_t number);

  enum class Heard { something, nothing, closed };

  /// Takes what has arrived, without waiting: all, but for values that come while many wait inside
  /// for `take_value`. Throws std::runtime_error on an empty message, which the other side must not
  /// send, and std::system_error if this process is out of descriptors.
  Heard listen();
  /// Waits for one message and takes that.
  Heard wait() { return take_message(0); }

  /// The memfd of a value that has arrived.
  std::optional<UniqueFd> take_value(std::uint64_t id);

  /// First message of the slave: any bytes with one descriptor.
  void send_setup(std::span<const std::byte> message, int memfd);
  std::pair<std::string, UniqueFd> receive_setup();

  int fd() const { return socket_.get(); }

 private:
  Heard take_message(int flags);

  UniqueFd socket_;
  std::map<std::uint64_t, UniqueFd> values_;
  struct Loan {
    std::uint32_t record;
    UniqueFd memfd;
  };
  std::deque<Loan> loans_;
};

}  // namespace knee::channel
