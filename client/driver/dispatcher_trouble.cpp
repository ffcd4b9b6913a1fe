// Dispatcher: what keeps tasks waiting, said to the user.

#include <knee/detail/large_block.h>

#include <chrono>
#include <string>

#include "client/driver/dispatcher.h"
#include "client/driver/counted.h"

namespace knee::driver {
namespace {

constexpr auto kLookForTrouble = 3 * kj::SECONDS;
/// Looks without a repetition of what was said.
constexpr unsigned kQuietLooks = 9;

}  // namespace

kj::Promise<void> Dispatcher::watch_for_trouble() {
  return io_.provider->getTimer().afterDelay(kLookForTrouble).then([this] {
    warn_without_slaves();
    warn_of_unschedulable();
    warn_of_absent();
    warn_of_outlasting();
    look_at_waits();
    detail::LargeBlock::age();
    return watch_for_trouble();
  });
}

void Dispatcher::warn_without_slaves() {
  const auto totals = scheduler_.totals();
  std::uint64_t calls = 0;
  for (const auto& [slave, count] : objects_->waiting()) calls += count;
  if (totals.queued + totals.sent + calls == 0 || slots() != 0) return;
  if (quiet_looks_ != 0) {
    --quiet_looks_;
    return;
  }
  const auto waiting = totals.queued + totals.sent;
  std::string text = "no slave yet, " +
                     (waiting != 0 || calls == 0 ? counted(waiting, "task waits", "tasks wait")
                                                 : counted(calls, "call waits", "calls wait")) +
                     "; still trying";
  for (const auto& link : links_)
    if (link)
      text += "\n  " +
              (link->last_error().empty() ? link->name() + ": connecting" : link->last_error());
  console_.say(text);
  quiet_looks_ = kQuietLooks;
}

void Dispatcher::warn_of_unschedulable() {
  const auto stuck = scheduler_.unschedulable();
  if (stuck.tasks == 0 || slots() == 0) {
    said_unschedulable_ = false;
  } else if (!std::exchange(said_unschedulable_, true)) {
    console_.say(std::to_string(stuck.tasks) + " tasks want " + std::to_string(stuck.cores) +
                 " cores or more, and no slave that is here has so many slots; they wait");
  }
}

void Dispatcher::warn_of_absent() {
  const auto absent = scheduler_.waiting_for_absent();
  const auto calls = objects_->waiting();
  if ((absent.empty() && calls.empty()) || slots() == 0) {
    quiet_of_absent_ = 0;
    return;
  }
  if (quiet_of_absent_ != 0) {
    --quiet_of_absent_;
    return;
  }
  quiet_of_absent_ = kQuietLooks;
  for (const auto& [slave, tasks] : absent)
    warn_of_absent(slave, counted(tasks, "task waits", "tasks wait"));
  for (const auto& [slave, count] : calls)
    warn_of_absent(id_of_[slave],
                   counted(count, "call on an object waits", "calls on objects wait"));
}

void Dispatcher::warn_of_absent(SlaveId slave, const std::string& what_waits) {
  std::string text =
      what_waits + " for slave '" + name_of(slave) + "', which is not here; here are:";
  for (const auto& name : slave_names()) text += " " + name;
  if (const auto* link = link_of(slave); link != nullptr && !link->last_error().empty())
    text += "\n  " + link->last_error();
  console_.say(text);
}

/// Of what may never end: processes, tasks and the callback thread that wait for each other. Where
/// that is certain a call fails; where it may be, the user is told.
void Dispatcher::look_at_waits() {
  const auto held = driver_.callbacks().held_up();
  objects_->circles().forget_those_over();
  if (held.by || objects_->expects_answers() || scheduler_.totals().sent != 0)
    objects_->circles().break_all();
  if (held.by && driver_.callbacks().is_waited_for()) start_awaited(*held.by);
  if (held.calls.empty()) {
    held_up_before_ = said_held_up_ = false;
    return;
  }
  if (std::exchange(held_up_before_, true) && !std::exchange(said_held_up_, true)) {
    console_.say(
        "a callback has been waiting for a result for seconds, and " +
        counted(held.calls.size(), "call of a task or an object waits",
                "calls of tasks or objects wait") +
        " for that callback; if the result comes after those in its process, they wait for "
        "each other for ever: use then() in callbacks in place of get()");
  }
}

void Dispatcher::warn_of_outlasting() {
  const auto tasks = scheduler_.outlasting(std::chrono::steady_clock::now());
  if (tasks == 0) {
    said_outlasting_ = false;
  } else if (!std::exchange(said_outlasting_, true)) {
    console_.say(counted(tasks, "task waits", "tasks wait") +
                 " for another slave: all that are here say that they end sooner than such a task "
                 "would");
  }
}

}  // namespace knee::driver
