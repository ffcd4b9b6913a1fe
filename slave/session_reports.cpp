#include <signal.h>

#include "session.h"

/// The outcomes that the slave itself has to report.
namespace knee::slave {
namespace {

void fill_death(proto::Death::Builder out, const WorkerDeath& death) {
  if (death.record) {
    out.setExitCode(death.record->exit_code);
    out.setSignal(death.record->signal);
    out.setWallTime(static_cast<std::uint64_t>(death.record->wall_time.count()));
    out.setCpuTime(static_cast<std::uint64_t>(death.record->cpu_time.count()));
    out.setPeakMemory(death.record->peak_memory);
  }
  out.setStderrTail(death.stderr_tail);
  out.setExplanation(death.explanation);
}

proto::Death::Builder init_death(proto::Outcome::Builder outcome, const WorkerDeath& death) {
  if (death.killed == KillReason::timeout) return outcome.initTimedOut();
  if (!death.record) return outcome.initCrashed();
  if (death.record->out_of_memory == process::OutOfMemory::yes) return outcome.initOutOfMemory();
  if (death.record->signal == 0) return outcome.initExited();
  return outcome.initCrashed();
}

void begin(proto::Outcome::Builder outcome, const QueuedTask& task) {
  outcome.setId(task.id);
  outcome.setAttempt(task.attempt);
}

}  // namespace

void Session::not_started(const QueuedTask& task, const std::string& why) {
  if (task.value) values_.drop_argument(*task.value);
  outbox_.add_outcome([&](proto::Outcome::Builder outcome) {
    begin(outcome, task);
    outcome.setNotStarted(why);
  });
}

void Session::cancelled(const QueuedTask& task) {
  if (task.value) values_.drop_argument(*task.value);
  outbox_.add_outcome([&](proto::Outcome::Builder outcome) {
    begin(outcome, task);
    outcome.setCancelled();
  });
}

void Session::refuse(const QueuedTask& task, const std::string& why) {
  if (task.value) values_.drop_argument(*task.value);
  outbox_.add_outcome([&](proto::Outcome::Builder outcome) {
    begin(outcome, task);
    outcome.setRefused(why);
  });
}

void Session::refuse_all(const std::string& why) {
  for (const auto& task : queue_) refuse(task, why);
  queue_.clear();
}

void Session::report_death(const QueuedTask& task, const WorkerDeath& death) {
  if (death.killed == KillReason::cancelled) return cancelled(task);
  outbox_.add_outcome([&](proto::Outcome::Builder outcome) {
    begin(outcome, task);
    outcome.setRunTime(static_cast<std::uint64_t>(death.ran.count()));
    fill_death(init_death(outcome, death), death);
  });
}

}  // namespace knee::slave
