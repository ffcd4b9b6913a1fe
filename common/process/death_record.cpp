#include "common/process/death_record.h"

#include <csignal>
#include <cstdio>
#include <cstring>

#include "common/process/packing.h"

namespace knee::process {
namespace {

std::string decimal(double value, const char* unit) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.1f %s" : "%.0f %s", value, unit);
  return text;
}

std::string duration_text(std::chrono::nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds < 1) return decimal(seconds * 1e3, "ms");
  if (seconds < 600) return decimal(seconds, "s");
  if (seconds < 7200) return decimal(seconds / 60, "min");
  return decimal(seconds / 3600, "h");
}

std::string memory_text(std::uint64_t bytes) {
  const double megabytes = static_cast<double>(bytes) / 1e6;
  return megabytes < 10'000 ? decimal(megabytes, "MB") : decimal(megabytes / 1e3, "GB");
}

std::string end_text(const DeathRecord& record) {
  if (record.signal == 0) return "exited with code " + std::to_string(record.exit_code);
  std::string text = "killed by " + signal_name(record.signal);
  if (record.killed_on_request) text += " on request";
  if (record.core_dumped) text += ", core dumped";
  return text;
}

const char* out_of_memory_text(OutOfMemory guess) {
  switch (guess) {
    case OutOfMemory::yes:
      return ", most likely by the kernel because memory ran out";
    case OutOfMemory::unknown:
      return ", possibly because memory ran out (the kernel's count cannot be read here)";
    case OutOfMemory::no:
      break;
  }
  return "";
}

std::string processes(std::uint32_t count) {
  return std::to_string(count) + (count == 1 ? " process" : " processes");
}

}  // namespace

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return "signal " + std::to_string(signal) +
         (name == nullptr ? std::string() : " (SIG" + std::string(name) + ")");
}

std::string DeathRecord::describe() const {
  std::string text = end_text(*this) + out_of_memory_text(out_of_memory);
  text += ", after " + duration_text(wall_time);
  text += ", CPU time " + duration_text(cpu_time);
  text += ", peak memory " + memory_text(peak_memory);
  if (leftovers_killed > 0) text += ", left " + processes(leftovers_killed) + ", now killed";
  if (leftovers_stuck > 0)
    text += ", left " + processes(leftovers_stuck) + " that cannot be killed";
  return text;
}

void pack(Packer& packer, const DeathRecord& record) {
  packer.number(record.exit_code);
  packer.number(record.signal);
  packer.number(record.core_dumped);
  packer.number(record.killed_on_request);
  packer.number(record.wall_time.count());
  packer.number(record.cpu_time.count());
  packer.number(record.peak_memory);
  packer.number(record.out_of_memory);
  packer.number(record.leftovers_killed);
  packer.number(record.leftovers_stuck);
}

DeathRecord unpack_death_record(Unpacker& unpacker) {
  using Count = std::chrono::nanoseconds::rep;
  DeathRecord record;
  unpacker.number(record.exit_code);
  unpacker.number(record.signal);
  unpacker.number(record.core_dumped);
  unpacker.number(record.killed_on_request);
  record.wall_time = std::chrono::nanoseconds(unpacker.number<Count>());
  record.cpu_time = std::chrono::nanoseconds(unpacker.number<Count>());
  unpacker.number(record.peak_memory);
  unpacker.number(record.out_of_memory);
  unpacker.number(record.leftovers_killed);
  unpacker.number(record.leftovers_stuck);
  return record;
}

}  // namespace knee::process
