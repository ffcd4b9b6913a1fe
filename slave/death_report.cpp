#include "death_report.h"

namespace knee::slave {

void fill_death(proto::Death::Builder out, const DeathFacts& facts) {
  if (facts.record) {
    out.setExitCode(facts.record->exit_code);
    out.setSignal(facts.record->signal);
    out.setWallTime(static_cast<std::uint64_t>(facts.record->wall_time.count()));
    out.setCpuTime(static_cast<std::uint64_t>(facts.record->cpu_time.count()));
    out.setPeakMemory(facts.record->peak_memory);
  }
  out.setStderrTail(facts.stderr_tail);
  out.setExplanation(facts.explanation);
}

}  // namespace knee::slave
