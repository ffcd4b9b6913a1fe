#pragma once
#include <chrono>
#include <concepts>
#include <memory>
#include <string>

namespace knee::test {

/// A way to a slave on which everything takes its time: a Unix socket that passes on what comes, in
/// both directions, each byte so much later. Destruction cuts it.
class SlowLine {
 public:
  /// `address`: of the slave, unix:PATH.
  SlowLine(const std::string& address, std::chrono::milliseconds delay);
  SlowLine(const SlowLine&) = delete;
  ~SlowLine();

  /// To be dialed instead of the slave's.
  const std::string& address() const;
  /// How often the driver sends something after the slave has, while `action` runs: its round
  /// trips, one after the other, and perhaps what else travels meanwhile. Never less.
  template <std::invocable Action>
  unsigned turns_of(Action action) const {
    const auto before = begin();
    action();
    return turns() - before;
  }

 private:
  class Parts;
  unsigned begin() const;
  unsigned turns() const;

  std::unique_ptr<Parts> parts_;
};

}  // namespace knee::test
