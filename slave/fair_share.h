#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace knee::slave {

/// Who gets the slots of this slave next. Pure logic with the caller's clock; lives on the loop
/// thread.
///
/// Slots go to the *identity* that has used least lately: core-seconds that fade with a half-life
/// of 30 s, so that a driver with ten sessions has no more than one with one. Sessions of one
/// identity share its part in the same way. A client that wants several slots at once and is next
/// reserves the free ones until enough have drained: nobody smaller overtakes it.
class FairShare {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Client = std::uint32_t;

  explicit FairShare(std::uint32_t slots) : slots_(slots) {}

  /// A session of `identity` that may hold at most `limit` slots at once (0: all).
  Client add(const std::string& identity, std::uint32_t limit = 0);
  /// What it still holds is free from now on. What its identity has used is remembered while it
  /// fades: many short sessions get no more than a long one.
  void remove(Client client, Time now);

  /// The client would take `cores` slots for its next task; 0: nothing. At most `slots()`.
  void want(Client client, std::uint32_t cores);

  /// Who may start now, if anyone: its want is now held. The caller asks until nobody is left.
  std::optional<Client> grant(Time now);

  /// The client has finished with `cores` slots.
  void give_back(Client client, std::uint32_t cores, Time now);

  /// Somebody else with a smaller share waits: this client should not put new work on slots it
  /// holds. Among equals it keeps them for a turn of 20 ms, as a swap costs more than many a task;
  /// who has used clearly less need not wait for that.
  bool should_yield(Client client, Time now);

  std::uint32_t slots() const { return slots_; }
  std::uint32_t busy() const { return busy_; }
  /// Slots the client may hold at once when nobody else wants any.
  std::uint32_t limit(Client client) const;

 private:
  struct Use {
    double used = 0;  ///< core-seconds, faded to `at`
    Time at{};
    std::uint32_t holding = 0;
  };
  struct Session {
    std::string identity;
    std::uint32_t limit = 0;
    std::uint32_t wants = 0;
    Use use{};
    std::uint64_t waiting_since = 0;  ///< order among equals
  };

  static double usage(Use& use, Time now);
  Use first_use(const std::string& identity) const;
  bool comes_before(Session& one, Session& other, Time now);
  void forget_faded(Time now);
  /// The waiting session that is next, whether or not enough slots are free.
  std::map<Client, Session>::iterator next(Time now);

  std::uint32_t slots_;
  std::uint32_t busy_ = 0;
  std::uint64_t order_ = 0;
  Client last_ = 0;
  std::map<std::string, Use> identities_;
  std::map<Client, Session> sessions_;
};

}  // namespace knee::slave
