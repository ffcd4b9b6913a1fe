#include "client/driver/black_hole.h"

#include <algorithm>

namespace knee::driver {
namespace {

constexpr int kCrashesInARow = 4;
constexpr int kLostWorkersInARow = 8;
// A success takes away an eighth: a slave that crashes a quarter of its tasks reaches this.
constexpr float kEnoughEvidence = 2.5F;
constexpr float kKeptBySuccess = 7.0F / 8;

}  // namespace

void SlaveHealth::succeeded() {
  crashes_in_a_row_ = 0;
  lost_workers_ = 0;
  evidence_ *= kKeptBySuccess;
  if (state_ == State::on_trial) {
    state_ = State::fine;
    suspensions_ = 0;
    evidence_ = 0;
  }
}

void SlaveHealth::lost_worker(Time now) {
  if (now == last_lost_) return;
  last_lost_ = now;
  lost_workers_ += lost_workers_ < UINT16_MAX;
}

bool SlaveHealth::is_black_hole(bool others_are_fine) const {
  if (state_ == State::suspended) return false;
  if (state_ == State::on_trial && crashes_in_a_row_ + lost_workers_ > 0) return true;
  if (evidence_ >= kEnoughEvidence || lost_workers_ >= kLostWorkersInARow) return true;
  return others_are_fine && crashes_in_a_row_ >= kCrashesInARow;
}

Duration SlaveHealth::suspend(Time now) {
  const int doublings = std::min<int>(suspensions_, 16);
  const Duration back_off = std::min(kFirstBackOff * (1 << doublings), kLongestBackOff);
  suspensions_ += suspensions_ < UINT8_MAX;
  state_ = State::suspended;
  until_ = now + back_off;
  return back_off;
}

void SlaveHealth::start_trial() {
  state_ = State::on_trial;
  forget_evidence();
}

void SlaveHealth::pardon() {
  state_ = State::fine;
  forget_evidence();
}

void SlaveHealth::forget_evidence() {
  crashes_in_a_row_ = 0;
  lost_workers_ = 0;
  evidence_ = 0;
}

}  // namespace knee::driver
