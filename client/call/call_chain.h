#pragma once
#include <knee/detail/task_state.h>

#include <cstdint>

namespace knee::detail {

/// Which call it is, and what it belongs to.
struct CallIdentity {
  std::uint64_t chain = 0;   ///< proto::Call.chain; 0: none
  std::uint64_t number = 0;  ///< proto::Call.number; 0: not told
};
/// A number that no call has had before, here or, most likely, elsewhere. Those of one process
/// count up.
std::uint64_t new_number();

/// Whether one process has sent both, in this order. False where that is not known.
bool was_sent_before(const CallIdentity& one, const CallIdentity& other) noexcept;

/// The chain of what this thread calls now; 0 where it carries out nothing for others.
std::uint64_t current_chain() noexcept;

/// While it lives, this thread carries out a call of others, and what it calls belongs to `chain`.
class InChain {
 public:
  explicit InChain(std::uint64_t chain);
  ~InChain();
  InChain(const InChain&) = delete;
  InChain& operator=(const InChain&) = delete;

 private:
  std::uint64_t before_;
};

/// The chain of what this thread of a driver calls now: that it belongs to, or a new one.
std::uint64_t chain_here();

/// How a thread waits for a call, until then at most, in a process that serves objects and has no
/// driver; null elsewhere.
using WaitFor = void (*)(TaskState&, Deadline);
WaitFor& how_servers_wait() noexcept;

}  // namespace knee::detail
