#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/process/keeper.h"

namespace knee::test {

/// Long enough for a loaded machine; a test that waits this long has failed.
inline constexpr std::chrono::seconds kDeadline{30};

/// Waits until the descriptor is readable; false after kDeadline.
bool wait_readable(int fd);

/// Keepers that wait, at the end, for all that are still ending: no test leaves a process to the
/// next. To be declared before its Keeper objects.
struct PatientKeepers : process::Keepers {
  ~PatientKeepers() { wait_for_ending(kDeadline); }
};

/// A pipe whose write end a worker and all its descendants hold: the read end ends exactly when the
/// last of them is gone, whatever it has done to its session, group or parent.
class Witness {
 public:
  Witness();
  /// Adds the write end to a plan, as kWitness.
  void watch(process::SpawnPlan& plan) const;
  [[nodiscard]] int write_end() const { return write_.get(); }
  /// Closes our copy of the write end; once, after the start.
  void close_write_end() { write_.reset(); }
  /// The next number a watched process told; 0 if all are gone or kDeadline is over.
  pid_t next_pid();
  /// Whether all are gone before kDeadline.
  bool all_gone();

 private:
  process::Descriptor read_;
  process::Descriptor write_;
  std::string pending_;
};

/// Everything one keeper told, to its end.
struct Story {
  std::optional<process::Started> started;
  std::optional<process::StartFailed> failed;
  std::optional<process::DeathRecord> death;
  bool gone = false;
};
/// Reads until KeeperGone or kDeadline.
Story read_story(process::Keeper& keeper);

/// The next news before kDeadline.
std::optional<process::News> next_news(process::Keeper& keeper);

/// Starts a plan and reads its story.
Story run(const process::SpawnPlan& plan);

/// Runs a plan with standard output and error going to one pipe; gives what it wrote.
std::string output_of(process::SpawnPlan plan);

/// Reads to the end, or to kDeadline.
std::string read_all(int fd);

}  // namespace knee::test
