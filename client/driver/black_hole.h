#pragma once

#include <cstdint>

#include "client/driver/schedule_types.h"

namespace knee::driver {

/// Judges one slave by the tasks that crashed on it. A *black hole* crashes tasks that succeed
/// elsewhere and, being fast at it, swallows a whole bag.
///
/// A crash is first undecided. It becomes evidence when the task succeeds elsewhere and is
/// forgiven when it crashes elsewhere too. Several undecided crashes in a row are enough as long
/// as few other slaves look the same: when all do, it is the program.
class SlaveHealth {
 public:
  static constexpr Duration kFirstBackOff = std::chrono::seconds(1);
  static constexpr Duration kLongestBackOff = std::chrono::minutes(5);

  void succeeded();
  void crashed() { crashes_in_a_row_ += crashes_in_a_row_ < UINT16_MAX; }
  void forgiven() { crashes_in_a_row_ -= crashes_in_a_row_ > 0; }
  /// A task that crashed here succeeded elsewhere. Old sins do not count against a trial.
  void convicted() { evidence_ += state_ == State::fine ? 1 : 0; }
  /// A worker died before it started anything. What dies with it at one moment counts once.
  void lost_worker(Time now);

  bool is_suspect() const { return crashes_in_a_row_ >= 2; }
  bool is_black_hole(bool others_are_fine) const;

  /// Starts a suspension, each twice as long as the one before it.
  Duration suspend(Time now);
  /// After a suspension a slave is on trial: one task at a time, until one succeeds.
  void start_trial();
  /// Lifts the suspension because nobody else is left.
  void pardon();

  bool suspended() const { return state_ == State::suspended; }
  bool on_trial() const { return state_ == State::on_trial; }
  Time suspended_until() const { return until_; }
  /// Orders slaves from least to most bad.
  double badness() const { return suspensions_ * 1000.0 + evidence_ + crashes_in_a_row_; }

 private:
  enum class State : std::uint8_t { fine, suspended, on_trial };
  void forget_evidence();

  State state_ = State::fine;
  std::uint8_t suspensions_ = 0;  // since the last success on trial
  std::uint16_t crashes_in_a_row_ = 0;
  std::uint16_t lost_workers_ = 0;
  float evidence_ = 0;
  Time until_{};
  Time last_lost_{};
};

}  // namespace knee::driver
