#include "failure.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <knee/error.h>

#include "client/call/task_access.h"
#include "common/program/cpu_flags.h"

namespace knee::driver {
namespace {

using Kind = Error::Kind;

std::string seconds(std::uint64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", static_cast<double>(nanoseconds) / 1e9);
  return text;
}

/// "task 'pi: f' on slave gandalf, attempt 1"
std::string subject(const Error::Where& where) {
  std::string text = "task '" + where.task + "'";
  if (!where.slave.empty()) text += " on slave " + where.slave;
  // Without a slave a first attempt has not begun, or not that anybody knows.
  if (where.attempt > (where.slave.empty() ? 1 : 0))
    text += ", attempt " + std::to_string(where.attempt);
  return text;
}

Error::Where where_of(const detail::TaskState& task, const std::string& slave) {
  return {slave, detail::Access::name(task), task.attempt};
}

std::exception_ptr make(Kind kind, const Error::Where& where, const std::string& what) {
  return std::make_exception_ptr(Error(kind, subject(where) + " " + what, where));
}

std::string describe_death(proto::Death::Reader death) {
  std::string text = death.getExplanation().cStr();
  if (death.getStderrTail().size() != 0)
    text += "\nlast lines of its stderr:\n" + std::string(death.getStderrTail().cStr());
  return text;
}

/// What SIGILL most often means: code for a newer processor. Empty for other ends.
std::string explain_signal(int signal, const std::vector<std::string>& cpu_flags) {
  if (signal != SIGILL || cpu_flags.empty()) return {};
  const auto missing = program::missing_cpu_flags(program::cpu_flags(), cpu_flags);
  if (missing.empty()) return "\nThe slave's processor has all that this machine's has.";
  std::string text = "\nThe slave's processor lacks what this machine's has:";
  for (const auto& flag : missing) text += " " + flag;
  return text + ". Was the program built for this machine (-march=native)?";
}

}  // namespace

AttemptEnd end_of(proto::Outcome::Reader outcome) {
  switch (outcome.which()) {
    case proto::Outcome::VALUE:
    case proto::Outcome::COMMAND_ENDED:
      return AttemptEnd::value;
    case proto::Outcome::EXCEPTION:
      return AttemptEnd::exception;
    case proto::Outcome::EXITED:
      return AttemptEnd::exited;
    case proto::Outcome::CANCELLED:
      return AttemptEnd::cancelled;
    case proto::Outcome::TIMED_OUT:
      return AttemptEnd::timeout;
    case proto::Outcome::OUT_OF_MEMORY:
      return AttemptEnd::out_of_memory;
    case proto::Outcome::NOT_STARTED:
      return AttemptEnd::given_back;
    case proto::Outcome::CRASHED:
    case proto::Outcome::REFUSED:
      return AttemptEnd::crashed;  // charged, so that a slave that can run nothing is not asked for
                                   // ever
  }
  return AttemptEnd::crashed;
}

std::exception_ptr error_of(const detail::TaskState& task, proto::Outcome::Reader outcome,
                            const std::string& slave, const std::vector<std::string>& cpu_flags) {
  const auto where = where_of(task, slave);
  switch (outcome.which()) {
    case proto::Outcome::EXCEPTION: {
      const std::string type = outcome.getException().getType().cStr();
      const std::string what = outcome.getException().getWhat().cStr();
      const std::string traceback = outcome.getException().getTraceback().cStr();
      std::string text = subject(where) + " threw " + type + ": " + what;
      if (!traceback.empty()) text += "\n" + traceback;
      return std::make_exception_ptr(Error(Kind::exception, text, where, type, what, traceback));
    }
    case proto::Outcome::EXITED:
      return make(Kind::exited, where,
                  "called exit(" + std::to_string(outcome.getExited().getExitCode()) +
                      "): " + describe_death(outcome.getExited()));
    case proto::Outcome::TIMED_OUT:
      return make(Kind::timeout, where,
                  "ran for " + seconds(outcome.getRunTime()) + ", longer than its limit of " +
                      seconds(task.timeout) + ", and was killed");
    case proto::Outcome::OUT_OF_MEMORY:
      return make(Kind::out_of_memory, where,
                  "was killed for want of memory: " + describe_death(outcome.getOutOfMemory()));
    case proto::Outcome::CRASHED:
      return make(Kind::crashed, where,
                  "crashed: " + describe_death(outcome.getCrashed()) +
                      explain_signal(outcome.getCrashed().getSignal(), cpu_flags));
    case proto::Outcome::REFUSED:
      return make(Kind::refused, where, std::string("was refused: ") + outcome.getRefused().cStr());
    case proto::Outcome::CANCELLED:
      return cancelled_error(task, outcome.getRunTime() != 0 ? slave : "");
    case proto::Outcome::NOT_STARTED:
    case proto::Outcome::VALUE:
    case proto::Outcome::COMMAND_ENDED:
      break;
  }
  return make(Kind::refused, where, "ended in a way this version of Knee does not know");
}

std::exception_ptr cancelled_error(const detail::TaskState& task, const std::string& slave) {
  return make(Kind::cancelled, where_of(task, slave), "was cancelled");
}

std::exception_ptr circular_error(const detail::TaskState& task, const std::string& slave) {
  return make(Kind::usage, where_of(task, slave),
              "could never end: a callback waits for it, and it waits for that callback or one "
              "after it, itself or through others; use then() in callbacks in place of get()");
}

std::exception_ptr lost_slave_error(const detail::TaskState& task, const std::string& slave,
                                    const std::string& why) {
  return make(Kind::slave_lost, where_of(task, slave),
              "was lost with its slave, and had no attempts left: " + why);
}

std::exception_ptr ended_process_error(const detail::TaskState& task, const std::string& slave,
                                       const std::string& why) {
  return make(Kind::crashed, where_of(task, slave), "was not answered: " + why);
}

std::exception_ptr lost_result_error(const detail::TaskState& task, const std::string& slave,
                                     const std::string& why) {
  return make(Kind::slave_lost, where_of(task, slave),
              "ended, but its result could not be fetched: " + why);
}

std::exception_ptr unsent_error(const detail::TaskState& task, const std::string& slave,
                                const std::string& why) {
  return make(Kind::refused, where_of(task, slave), "could not be sent there: " + why);
}

std::exception_ptr refused_error(const detail::TaskState& task, const std::string& slave,
                                 const std::string& why) {
  return make(Kind::refused, where_of(task, slave), "was not carried out: " + why);
}

std::exception_ptr no_such_slave_error(const detail::TaskState& task, const std::string& name,
                                       const std::vector<std::string>& names) {
  std::string text = "cannot run: no slave has the name '" + name + "'; there ";
  text += names.size() == 1 ? "is only " : "are ";
  for (const auto& one : names) text += (&one == &names.front() ? "" : ", ") + one;
  return make(Kind::setup, where_of(task, ""), text);
}

std::exception_ptr unshippable_error(const detail::TaskState& task, const std::string& why) {
  return make(Kind::setup, where_of(task, ""), "can run nowhere: " + why);
}

std::string describe(const SlaveEvent& event, const std::string& slave) {
  if (event.what == SlaveEvent::What::resumed) return "slave " + slave + " is given tasks again";
  return "slave " + slave + " is given no tasks for " +
         seconds(static_cast<std::uint64_t>(event.back_off.count())) +
         ": tasks crash there that succeed elsewhere";
}

}  // namespace knee::driver
