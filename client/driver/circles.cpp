#include "circles.h"

#include <algorithm>
#include <utility>

#include "client/call/task_access.h"
#include "client/driver/failure.h"
#include "client/driver/objects.h"

namespace knee::driver {
namespace {

constexpr const char* kCouldNeverBegin =
    "it could never begin: the process it was sent to waits for a call that waits for this one, "
    "itself or through others";

/// So that no circle is held for one because of what its members said at different times.
constexpr auto kAskAgain = 200 * kj::MILLISECONDS;

bool is_method(const detail::TaskState& task) {
  return task.kind == detail::TaskState::Kind::method;
}

/// Of what the callback thread waits for: by it whoever carries it out says that it does.
std::uint64_t number_of(detail::TaskState& task) {
  return is_method(task) ? object_call(task).identity.number : task.id;
}

}  // namespace

/// One time of asking.
struct Circles::Look {
  std::set<std::set<std::uint64_t>> suspected;  ///< found before it began
  detail::TaskRef awaited;  ///< by the callback thread; null: it waits for nothing
  WaitGraph graph;
  std::vector<Member> members;  ///< of the graph
};

void Circles::watch(std::shared_ptr<Waiter> waiter) {
  watched_.push_back({std::move(waiter)});
}

void Circles::forget_those_over() {
  std::erase_if(watched_, [](const auto& one) { return one.waiter->is_over(); });
}

void Circles::break_all() {
  look();
  again_ = timer_.afterDelay(kAskAgain)
               .then([this] {
                 if (!suspected_.empty()) look();
               })
               .eagerlyEvaluate(nullptr);
}

void Circles::look() {
  look_ = std::make_shared<Look>();
  look_->suspected = std::exchange(suspected_, {});
  auto callbacks = surroundings_.held_up();
  if (callbacks.by) {
    const auto number = number_of(*callbacks.by);
    look_->awaited = std::move(callbacks.by);
    heard(*look_, nullptr, {number, std::move(callbacks.calls), std::move(callbacks.running)});
  }
  forget_those_over();
  for (auto& one : watched_) ask(one);
}

void Circles::ask(Watched& one) {
  // Who has not answered is busy, or out of reach; neither is a wait that is known.
  if (std::exchange(one.is_asked, true)) return;
  one.question = one.waiter->wait()
                     .then(
                         [this, &one, asked = std::weak_ptr(look_)](Waiter::Wait wait) {
                           one.is_asked = false;
                           if (const auto look = asked.lock())
                             heard(*look, one.waiter, std::move(wait));
                         },
                         [&one](kj::Exception&&) { one.is_asked = false; })
                     .eagerlyEvaluate(nullptr);
}

void Circles::heard(Look& look, std::shared_ptr<Waiter> waiter, Waiter::Wait wait) {
  if (wait.call == 0) return;
  auto held_up = std::move(wait.within);
  held_up.insert(held_up.end(), wait.behind.begin(), wait.behind.end());
  look.members.push_back({std::move(waiter), std::move(wait.behind)});
  const auto circle = look.graph.add(wait.call, held_up);
  if (circle.empty()) return;
  std::set<std::uint64_t> calls;
  for (const auto index : circle) calls.insert(look.graph.call_of(index));
  if (look.suspected.contains(calls))
    break_circle(look, circle);
  else
    suspected_.insert(std::move(calls));
}

void Circles::break_circle(const Look& look, const std::vector<std::size_t>& circle) {
  for (std::size_t i = 0; i < circle.size(); ++i) {
    if (look.members[circle[i]].waiter) continue;
    const auto& next = look.members[circle[(i + 1) % circle.size()]].waiter;
    return surroundings_.fail(*look.awaited,
                              circular_error(*look.awaited, next ? next->slave_name() : ""));
  }
  for (std::size_t i = 0; i < circle.size(); ++i) {
    const auto& next = look.members[circle[(i + 1) % circle.size()]];
    const auto call = look.graph.call_of(circle[i]);
    if (std::find(next.behind.begin(), next.behind.end(), call) == next.behind.end()) continue;
    refusals_.add(next.waiter->refuse(call, kCouldNeverBegin));
    return;
  }
}

}  // namespace knee::driver
