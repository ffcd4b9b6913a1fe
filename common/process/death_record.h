#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace knee::process {

/// Whether the kernel killed a process for want of memory. A guess, see DeathRecord.
enum class OutOfMemory : std::uint8_t { unknown, no, yes };

/// How a worker ended and what it had used. Written by the keeper once nothing of the worker is
/// left, or after kStuckAfter if something cannot be killed. A value.
struct DeathRecord {
  /// What exit() was given, 0 to 255; meaningful if `signal` is 0.
  int exit_code = 0;
  /// The signal that ended the worker, 0 if it exited.
  int signal = 0;
  bool core_dumped = false;
  /// `signal` is one the slave had asked for before the worker began to end. (Without /proc: before
  /// the keeper saw the end, so a request made on seeing a worker's sockets close may count.)
  bool killed_on_request = false;

  /// From the fork to the end of the worker process itself.
  std::chrono::nanoseconds wall_time{0};
  /// User and system CPU time of the worker, of its descendants that were waited for by their
  /// parents, and of all that were left to the keeper. Descendants whose parent ignored their end
  /// (SIGCHLD set to SIG_IGN) are not in it.
  std::chrono::nanoseconds cpu_time{0};
  /// The largest resident set any single process of the same set ever had, in bytes: a maximum,
  /// not a sum over processes. Pages shared with other processes count in full.
  std::uint64_t peak_memory = 0;

  /// yes: the worker was killed by a SIGKILL the slave had not asked for, and the kernel's count
  /// of out-of-memory kills (of the worker's control group, or, where that cannot be read, of the
  /// machine) rose meanwhile. unknown: such a SIGKILL, but no count could be read. Else no.
  OutOfMemory out_of_memory = OutOfMemory::no;

  /// Processes that outlived the worker and were killed by the keeper.
  std::uint32_t leftovers_killed = 0;
  /// Processes that would not die within kStuckAfter: in an uninterruptible wait, or of another
  /// user (set-user-id). The keeper goes on trying after the record is written.
  std::uint32_t leftovers_stuck = 0;

  bool operator==(const DeathRecord&) const = default;

  /// For example "killed by signal 11 (SIGSEGV), after 3.2 s, CPU time 2.9 s, peak memory 412 MB".
  [[nodiscard]] std::string describe() const;
};

/// How long a keeper waits for killed processes to vanish before it writes the record without.
inline constexpr std::chrono::seconds kStuckAfter{5};

class Packer;
class Unpacker;
void pack(Packer& packer, const DeathRecord& record);
DeathRecord unpack_death_record(Unpacker& unpacker);

/// "signal 11 (SIGSEGV)".
std::string signal_name(int signal);

}  // namespace knee::process
