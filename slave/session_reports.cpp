#include "session.h"
#include "slave/death_report.h"

/// The outcomes that the slave itself has to report.
namespace knee::slave {
namespace {

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

void Session::refuse_calls(const std::string& why) {
  std::erase_if(queue_, [&](const QueuedTask& task) {
    if (!task.is_command) refuse(task, why);
    return !task.is_command;
  });
}

void Session::report_death(const QueuedTask& task, const WorkerDeath& death) {
  outbox_.add_outcome([&](proto::Outcome::Builder outcome) {
    begin(outcome, task);
    outcome.setRunTime(static_cast<std::uint64_t>(death.ran.count()));
    fill_end(outcome, death);
  });
}

}  // namespace knee::slave
