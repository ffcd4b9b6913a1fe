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
  std::set<std::uint64_t> suspected;
  detail::TaskRef awaited;  ///< by the callback thread; null: it waits for nothing
  WaitGraph graph;
  std::vector<Member> members;  ///< of the graph
};

void Circles::watch(std::shared_ptr<Waiter> waiter) {
  watched_.push_back(std::make_shared<Watched>(Watched{std::move(waiter)}));
}

void Circles::look(std::set<std::uint64_t> suspected) {
  auto look = std::make_shared<Look>();
  look->suspected = std::move(suspected);
  auto callbacks = surroundings_.held_up();
  if (callbacks.by) {
    const auto number = number_of(*callbacks.by);
    look->awaited = std::move(callbacks.by);
    heard(*look, nullptr, {number, std::move(callbacks.calls), std::move(callbacks.running)});
  }
  forget_those_over();
  for (const auto& one : watched_) ask(look, one);
}

void Circles::forget_those_over() {
  std::erase_if(watched_, [](const auto& one) { return one->waiter->is_over(); });
}

void Circles::ask(const std::shared_ptr<Look>& look, const std::shared_ptr<Watched>& one) {
  // Who has not answered is busy, or out of reach; neither is a wait that is known.
  if (std::exchange(one->is_asked, true)) return;
  asked_.add(one->waiter->wait().then(
      [this, look, one](Waiter::Wait wait) {
        one->is_asked = false;
        heard(*look, one->waiter, std::move(wait));
      },
      [one](kj::Exception&&) { one->is_asked = false; }));
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
  if (calls == look.suspected)
    break_circle(look, circle);
  else
    this->look(std::move(calls));
}

void Circles::break_circle(const Look& look, const std::vector<std::size_t>& circle) {
  const Member* after_callbacks = nullptr;  // whom the callback thread waits for
  bool has_begun = true;                    // each call, where it has arrived
  Waiter* refusing = nullptr;               // where one waits that can be refused there
  std::uint64_t refused = 0;
  for (std::size_t i = 0; i < circle.size(); ++i) {
    const auto& member = look.members[circle[i]];
    const auto& next = look.members[circle[(i + 1) % circle.size()]];
    const auto call = look.graph.call_of(circle[i]);
    if (!member.waiter) after_callbacks = &next;
    if (std::find(next.behind.begin(), next.behind.end(), call) == next.behind.end()) continue;
    has_begun = false;
    if (!next.waiter) continue;
    refusing = next.waiter.get();
    refused = call;
  }
  // Calls that have begun belong to one chain, and so do not wait for each other.
  if (has_begun) return;
  if (after_callbacks != nullptr && is_method(*look.awaited)) {
    const auto& waiter = after_callbacks->waiter;
    surroundings_.fail(*look.awaited,
                       circular_error(*look.awaited, waiter ? waiter->slave_name() : ""));
  } else if (refusing != nullptr) {
    asked_.add(refusing->refuse(refused, kCouldNeverBegin));
  }
}

}  // namespace knee::driver
