#include "death_report.h"

#include "slave/worker.h"

namespace knee::slave {
namespace {

proto::Death::Builder init_death(proto::Outcome::Builder outcome, const WorkerDeath& death) {
  if (death.killed == KillReason::timeout) return outcome.initTimedOut();
  if (!death.record) return outcome.initCrashed();
  if (death.record->out_of_memory == process::OutOfMemory::yes) return outcome.initOutOfMemory();
  if (death.record->signal == 0) return outcome.initExited();
  return outcome.initCrashed();
}

}  // namespace

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

void fill_end(proto::Outcome::Builder out, const WorkerDeath& death) {
  if (death.killed == KillReason::cancelled || death.killed == KillReason::closed)
    return out.setCancelled();
  fill_death(init_death(out, death), {death.record, death.explanation, death.stderr_tail});
}

}  // namespace knee::slave
