#pragma once
#include <knee/detail/task_state.h>

#include <cstdint>

namespace knee::detail {

/// What a call belongs to, and how far it is from the driver.
struct CallChain {
  std::uint64_t id = 0;     ///< proto::Call.chain; 0: none
  std::uint16_t depth = 0;  ///< proto::Call.depth
};

/// That of what this thread calls now; without an id where it carries out nothing for others.
const CallChain& current_chain() noexcept;

/// While it lives, this thread carries out a call of others, and what it calls belongs to `chain`.
class InChain {
 public:
  explicit InChain(const CallChain& chain);
  ~InChain();
  InChain(const InChain&) = delete;

 private:
  CallChain before_;
};

/// The chain of what this thread of a driver calls now: that it belongs to, or one that has not
/// been before, here or, most likely, elsewhere.
std::uint64_t chain_here();

/// How a thread waits for a call, until then at most, in a process that serves objects and has no
/// driver; null elsewhere.
using WaitFor = void (*)(TaskState&, Deadline);
WaitFor& how_servers_wait() noexcept;

}  // namespace knee::detail
