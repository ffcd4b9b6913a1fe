#pragma once
#include <chrono>
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
  /// How often the driver has sent something after the slave had: round trips, one after the other.
  unsigned turns() const;

 private:
  class Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace knee::test
