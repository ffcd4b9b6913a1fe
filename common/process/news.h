#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "common/process/death_record.h"

namespace knee::process {

/// The command runs: execve succeeded (or the new process was killed just before it).
struct Started {
  pid_t worker = 0;
  bool operator==(const Started&) const = default;
};

/// The command never ran. Nothing is left of the attempt.
struct StartFailed {
  /// The errno of the step that failed.
  int error = 0;
  /// The step, as a verb with its object's kind: "execute", "enter folder", "place descriptor".
  std::string step;
  /// What it failed on: a path, a number.
  std::string object;

  bool operator==(const StartFailed&) const = default;
  /// For example "cannot execute '/x/pi': Permission denied (is it marked executable, ...)".
  [[nodiscard]] std::string describe() const;
};

/// The keeper process has ended, and with it the stream of news. If no DeathRecord or StartFailed
/// came before, the keeper itself was killed; the worker was killed with it.
struct KeeperGone {
  bool operator==(const KeeperGone&) const = default;
};

/// What a keeper tells its slave. The order is: Started, DeathRecord, KeeperGone; or StartFailed,
/// KeeperGone; either cut short by KeeperGone.
using News = std::variant<Started, StartFailed, DeathRecord, KeeperGone>;

/// One message's bytes. KeeperGone is never sent.
std::vector<std::byte> encode(const News& news);
/// Throws std::runtime_error on anything `encode` did not write.
News decode_news(std::span<const std::byte> bytes);

/// No encoded news is longer: objects are cut to fit.
inline constexpr std::size_t kMostNewsBytes = 8192;

}  // namespace knee::process
